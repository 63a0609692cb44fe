"""The command that fits a ComModel."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import params

WARM_START = "COMREADV_WARM_START"

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def train(
    platform: Annotated[str, typer.Option(help="A platform of params.yaml.")],
    warm_start: Annotated[
        bool,
        typer.Option(
            "--warm-start",
            envvar=WARM_START,
            help="Start from the model that `comreadv retrain` kept; stay with it where it is the better one.",
        ),
    ] = False,
    params_file: Annotated[Path, typer.Option("--params", help="The settings.")] = Path("params.yaml"),
) -> None:
    """Identify a platform's codec, and fit a ComModel to its pairs.

    Reads data/pairs/<platform>.db. Writes models/<platform>.safetensors, .emulator.json, .json and .csv at the
    end. A run that is interrupted leaves <platform>.part, and the same command goes on from there.
    """
    settings = params.load(params_file)
    settings.platform(platform)

    from train import kept_models
    from train.training import fit

    models = Path("models")
    found = fit(
        Path("data/pairs") / f"{platform}.db",
        settings.train,
        models / f"{platform}.safetensors",
        models / f"{platform}.json",
        models / f"{platform}.csv",
        platform=platform,
        before=kept_models.start(platform) if warm_start else None,
    )
    emulator = found["emulator"]
    typer.echo(f"{platform}: {emulator['chain']}, {'' if emulator['identified'] else 'not '}identified.")
    paper = "" if found["paper_mae"] is None else f" {found['paper_mae']:.2f} by the paper's net,"
    typer.echo(
        f"{platform}: mean absolute error {found['mae']:.2f} grey levels on the test images;{paper}"
        f" {found['identity_mae']:.2f} without a model. Kept in {models}/{platform}.safetensors."
    )
    if before := found["before"]:
        typer.echo(f"{platform}: the model before (generation {before['generation']}): {before['mae']:.2f} on them.")
