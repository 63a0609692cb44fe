"""The command `results`."""

from __future__ import annotations

from pathlib import Path

import params
from collect.command_line import PARAMS, ParamsOption
from params import UserError


def results(
    params_file: ParamsOption = PARAMS,
) -> None:
    """Print the last evaluation of every platform that is on, and its ComModel's error, as tables."""
    settings = params.load(params_file)

    from rich.console import Console

    from attack.evaluation.figures import read_evaluation
    from attack.evaluation.transfer_matrix import matrices
    from attack.report.history import read_training_metrics
    from attack.report.tables import model_table, success_table, transfer_table

    platforms, reports = list(settings.platforms), Path("reports")
    evaluations = [found for name in platforms if (found := read_evaluation(reports / f"{name}.json"))]
    if not evaluations:
        raise UserError("Nothing has been evaluated yet. Run `dvc repro`.")
    Console().print(success_table(evaluations, settings.attack.attacks))
    for matrix in matrices(platforms, reports):
        Console().print(transfer_table(matrix))
    models = [trained for name in platforms if (trained := read_training_metrics(Path("models") / f"{name}.json"))]
    if models:
        Console().print(model_table(models))
