"""The command `pairs`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import params
from collect.command_line import PARAMS, ParamsOption, PlatformOption
from params import UserError

FOLDER = Path("data/pairs")


def pairs(
    platform: PlatformOption,
    worst: Annotated[int, typer.Option(min=0, max=50, help="How many of the worst accepted pairs to picture.")] = 8,
    publish: Annotated[
        bool, typer.Option("--publish", help="First put data/pairs/<platform>.db into the shared database.")
    ] = False,
    params_file: ParamsOption = PARAMS,
) -> None:
    """List a platform's pairs: counts, rejections by reason, scales, kernels, watermarks; picture the worst.

    Reads data/pairs/<platform>.db, or the database of pairing.database where there is one; writes
    reports/pairs-<platform>.png.
    """
    from pairing import shared_database
    from pairing.summary import picture, summarise

    settings = params.load(params_file)
    settings.platform(platform)
    address = settings.pairing.database
    if publish and address is None:
        raise UserError("--publish needs a shared database: give its address, as pairing.database in params.yaml.")
    file, out = FOLDER / f"{platform}.db", Path("reports") / f"pairs-{platform}.png"
    try:
        if publish and address is not None:
            with shared_database.open_shared(address) as engine:
                shared_database.publish(file, platform, engine)
            typer.echo(f"{platform}: {file} is in the shared database.")
        with shared_database.open_platform(platform, file, address) as stored:
            for line in summarise(platform, stored):
                typer.echo(line)
            shown = picture(stored, out, worst)
    except FileNotFoundError as error:
        mend = f"Run `comreadv pairing --platform {platform}`."
        if error.filename:
            mend += " Without the images, `--worst 0` sums up alone."
        elif file.exists():
            mend = f"Run `comreadv pairs --platform {platform} --publish`."
        raise UserError(f"{error.filename or error} is missing. {mend}") from None
    if shown:
        typer.echo(f"The worst {shown} accepted are in {out}.")
