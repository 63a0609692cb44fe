"""The console script `comreadv`: every package's commands under one name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import attack.cli
import attack.protect_cli
import attack.status_cli
import collect.cli
import collect.dataset
import collect.drift_cli
import collect.sandbox.cli
import collect.site_cli
import pairing.cli
import params
import train.cli
import train.retrain_cli

app = typer.Typer(
    name="comreadv",
    help="Learn what a platform does to photos, and make adversarial images that survive it.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for commands in (
    collect.dataset.app,
    collect.cli.app,
    pairing.cli.app,
    pairing.cli.more,
    train.cli.app,
    train.retrain_cli.app,
    attack.cli.app,
    attack.protect_cli.app,
    attack.status_cli.app,
    collect.drift_cli.app,
    collect.site_cli.app,
    collect.sandbox.cli.app,
):
    app.add_typer(commands)


@app.command("params")
def check_params(
    params_file: Annotated[Path, typer.Option("--params", help="The settings.")] = Path("params.yaml"),
) -> None:
    """Check params.yaml whole, every platform's row against its adapter too, and list the platforms."""
    from collect.platform import load

    settings = params.load(params_file)
    for name, row in (settings.platforms | settings.switched_off).items():
        load(name, row)
    typer.echo(f"{params_file} is valid, scale {settings.scale}.")
    for heading, rows in (("on", settings.platforms), ("switched off", settings.switched_off)):
        for name, row in rows.items():
            typer.echo(f"  {name} ({heading}): {row.codec or row.site if row.adapter == 'codec' else row.site}")


def main() -> None:
    app()
