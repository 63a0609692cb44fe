"""The command `params`."""

from __future__ import annotations

import typer

from collect.command_line import PARAMS, ParamsOption
from params import load


def params(params_file: ParamsOption = PARAMS) -> None:
    """Check params.yaml whole, every platform's row against its adapter too, and list the platforms."""
    from collect.platform import load_platform

    settings = load(params_file)
    for name, row in (settings.platforms | settings.switched_off).items():
        load_platform(name, row)
    typer.echo(f"{params_file} is valid, scale {settings.scale}.")
    for heading, rows in (("on", settings.platforms), ("switched off", settings.switched_off)):
        for name, row in rows.items():
            typer.echo(f"  {name} ({heading}): {row.codec or row.site if row.adapter == 'codec' else row.site}")
