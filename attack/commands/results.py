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

    import json

    from rich.console import Console

    from attack.evaluation import transfer
    from attack.report.tables import model_table, table, transfer_table

    found = [Path("reports") / f"{name}.json" for name in settings.platforms]
    reports = [json.loads(file.read_text(encoding="utf-8")) for file in found if file.exists()]
    if not reports:
        raise UserError("Nothing has been evaluated yet. Run `dvc repro`.")
    Console().print(table(reports, settings.attack.attacks))
    for matrix in transfer.matrices(list(settings.platforms), Path("reports")):
        Console().print(transfer_table(matrix))
    metrics = [Path("models") / f"{name}.json" for name in settings.platforms]
    models = [json.loads(file.read_text(encoding="utf-8")) for file in metrics if file.exists()]
    if models:
        Console().print(model_table(models))
