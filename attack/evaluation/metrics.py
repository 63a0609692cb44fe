"""Write an evaluation's figures, for DVC and for the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from attack.evaluation.outcomes import Outcome
from attack.evaluation.success_plot import success_plot
from attack.evaluation.summary import summarise
from params import Params, UserError


def write_metrics(name: str, params: Params, outcomes: Sequence[Outcome], generation: int, reports: Path) -> None:
    """Write reports/<platform>.json and the plot reports/<platform>.svg."""
    _make_folder(reports)
    success = summarise(outcomes, params.evaluate.confidence)
    content = {
        "platform": name,
        "site": outcomes[0].site,
        "generation": generation,
        "classifier": params.attack.classifier,
        "images": len({each.image for each in outcomes}),
        "confidence": params.evaluate.confidence,
        "success": success,
    }
    (reports / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (reports / f"{name}.svg").write_text(success_plot(success, params.attack.attacks), encoding="utf-8")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} can't be made a folder ({error}). Move what is there away.") from None
