"""How a platform's ComModel and the attacks fared, generation by generation of its codec."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from attack.evaluation.figures import Evaluation, Success, read_evaluation
from collect.files import read_json
from train.retraining import model_archive
from train.training import TrainingMetrics

DELETE = "Delete its folder: only the report and `comreadv retrain --back` take it."


class Generation(NamedTuple):
    """A generation of a platform's codec; None: not measured."""

    generation: int
    mae: float | None
    identity_mae: float | None
    success: Success | None


def read_history(platform: str, kept: Path, models: Path, reports: Path) -> list[Generation]:
    """List a platform's generations in their order, the present one's figures before any that were kept of it.

    Raises UserError for a damaged file.
    """
    trained = dict[int, TrainingMetrics]()
    evaluated = dict[int, Evaluation]()
    for folder in _kept(kept / platform):
        if metrics := read_training_metrics(folder / f"{platform}.json", DELETE):
            trained[metrics.generation] = metrics
        if evaluation := read_evaluation(folder / model_archive.EVALUATION, DELETE):
            evaluated[evaluation.generation] = evaluation
    if metrics := read_training_metrics(models / f"{platform}.json"):
        trained[metrics.generation] = metrics
    if evaluation := read_evaluation(reports / f"{platform}.json"):
        evaluated[evaluation.generation] = evaluation
    generations = []
    for number in sorted({*trained, *evaluated}):
        of_model, of_attacks = trained.get(number), evaluated.get(number)
        mae, identity_mae = (of_model.mae, of_model.identity_mae) if of_model else (None, None)
        generations.append(Generation(number, mae, identity_mae, of_attacks.success if of_attacks else None))
    return generations


def read_training_metrics(file: Path, mend: str | None = None) -> TrainingMetrics | None:
    """Read what training tells of a ComModel; None: there is none. A UserError for a damaged file."""
    mend = mend or f"Run `comreadv train --platform {file.stem}`."
    return read_json(file, TrainingMetrics, mend) if file.exists() else None


def _kept(folder: Path) -> Iterator[Path]:
    """List the folders of kept models, but for half a copy, which a kill left."""
    return (each for each in sorted(folder.glob("*")) if each.name.isdecimal())
