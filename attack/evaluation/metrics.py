"""Write an evaluation's figures, for DVC and for the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attack.evaluation.evaluate import Evaluator, made_for
from attack.evaluation.figures import Evaluation, Transfer
from attack.evaluation.outcomes import Outcome
from attack.evaluation.success_plot import success_plot
from attack.evaluation.summary import summarise
from collect.files import to_json, write_atomically


def write_evaluation(evaluator: Evaluator, outcomes: Sequence[Outcome], reports: Path) -> None:
    """Write reports/<platform>.json and the plot reports/<platform>.svg."""
    name, params = evaluator.platform, evaluator.params
    success = summarise(outcomes, params.evaluate.confidence)
    evaluation = Evaluation(
        platform=name,
        site=outcomes[0].site,
        generation=evaluator.generation,
        classifier=params.attack.classifier,
        images=len({each.image for each in outcomes}),
        confidence=params.evaluate.confidence,
        success=success,
    )
    write_atomically(reports / f"{name}.json", to_json(Evaluation, evaluation, indent=2))
    write_atomically(reports / f"{name}.svg", success_plot(success, params.attack.attacks))


def write_transfer(evaluator: Evaluator, outcomes: Sequence[Outcome], reports: Path) -> None:
    """Write reports/transfer/<platform>.json, summed up by what the images were made for."""
    transfer = Transfer(
        platform=evaluator.platform,
        generation=evaluator.generation,
        classifier=evaluator.params.attack.classifier,
        confidence=evaluator.params.evaluate.confidence,
        success=summarise(outcomes, evaluator.params.evaluate.confidence, made_for),
    )
    write_atomically(reports / "transfer" / f"{evaluator.platform}.json", to_json(Transfer, transfer, indent=2))
