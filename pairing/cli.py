"""The command `pairing`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import params

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def pairing(
    platform: Annotated[str, typer.Option(help="A platform of params.yaml.")],
    params_file: Annotated[Path, typer.Option("--params", help="The settings.")] = Path("params.yaml"),
) -> None:
    """Align what a platform served with its originals; wrong files are rejected, with the reason.

    Reads data/images and data/round_trips/<platform>; writes data/pairs/<platform>.db.
    """
    from pairing.build import build

    settings = params.load(params_file)
    settings.platform(platform)
    database = Path("data/pairs") / f"{platform}.db"
    outcome = build(Path("data/images"), Path("data/round_trips") / platform, database, settings.pairing)
    typer.echo(f"{platform}: {outcome.pop(None, 0)} pairs accepted, {outcome.total()} rejected, in {database}.")
    for reason, count in outcome.most_common():
        typer.echo(f"  {count} {reason}")
