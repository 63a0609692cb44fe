"""The console script `comreadv`: every package's commands under one name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import attack.commands.attack
import attack.commands.protect
import attack.commands.status
import collect.commands.collect
import collect.commands.drift
import collect.commands.login
import collect.commands.sandbox
import collect.dataset.prepare
import pairing.commands.pairing
import params
import train.commands.retrain
import train.commands.train

app = typer.Typer(
    name="comreadv",
    help="Learn what a platform does to photos, and make adversarial images that survive it.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for commands in (
    collect.dataset.prepare.app,
    collect.commands.collect.app,
    pairing.commands.pairing.app,
    pairing.commands.pairing.more,
    train.commands.train.app,
    train.commands.retrain.app,
    attack.commands.attack.app,
    attack.commands.protect.app,
    attack.commands.status.app,
    collect.commands.drift.app,
    collect.commands.login.app,
    collect.commands.sandbox.app,
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
