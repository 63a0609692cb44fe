"""The command `report`."""

from __future__ import annotations

from pathlib import Path

import typer

import params
from collect.command_line import PARAMS, ParamsOption


def report(
    params_file: ParamsOption = PARAMS,
) -> None:
    """Write reports/index.html, one page about all platforms that are on."""
    settings = params.load(params_file)

    from attack.report.page import write_page

    page = Path("reports/index.html")
    missing = write_page(settings, page)
    typer.echo(f"Wrote {page}." + (f" Not evaluated yet: {', '.join(missing)}." if missing else ""))
