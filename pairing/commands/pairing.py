"""The command `pairing`."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

import params
from collect.command_line import PARAMS, ParamsOption
from params import UserError

FOLDER = Path("data/pairs")


def pairing(
    platform: Annotated[str | None, typer.Option(help="A platform of params.yaml.")] = None,
    originals: Annotated[Path | None, typer.Option(help="Instead: a folder of images as uploaded by hand.")] = None,
    renditions: Annotated[
        Path | None, typer.Option(help="And a folder of what was downloaded, in any order, under any names.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="And the pairs database to write from the two.")] = None,
    params_file: ParamsOption = PARAMS,
) -> None:
    """Align what a platform served with its originals; wrong files are rejected, with the reason.

    Reads data/images and data/round_trips/<platform>; writes data/pairs/<platform>.db, and puts the same into the
    database of pairing.database where there is one. With --originals, --renditions and --out, pairs two folders by
    content alone.
    """
    settings = params.load(params_file)
    by_hand = (originals, renditions, out)
    if (platform is None) == all(each is None for each in by_hand):
        raise UserError("Name a platform with --platform, or two folders with --originals, --renditions and --out.")
    if platform is not None:
        settings.platform(platform)
        _pair(platform, settings.pairing)
        return
    if originals is None or renditions is None or out is None:
        raise UserError("--originals, --renditions and --out belong together: give all three.")
    from pairing.build import reason_kind
    from pairing.folders import pair_folders

    found = pair_folders(originals, renditions, out, settings.pairing, settings.dataset.split)
    _tell(Counter(reason_kind(each.reason) for each in found), out)
    for each in found:
        if each.reason:
            typer.echo(f"  {each.rendition}: {each.reason}", err=True)


def _pair(platform: str, settings: params.Pairing) -> None:
    """Build the platform's file, and put it into the shared database where there is one."""
    from pairing.build import build
    from pairing.shared_database import open_shared, publish

    file = FOLDER / f"{platform}.db"
    with ExitStack() as stack:
        shared = stack.enter_context(open_shared(settings.database)) if settings.database else None  # before the work
        _tell(build(Path("data/images"), Path("data/round_trips") / platform, file, settings), file)
        if shared is not None:
            publish(file, platform, shared)
            typer.echo(f"{platform}: they are in the shared database too.")


def _tell(outcome: Counter[str | None], database: Path) -> None:
    accepted = outcome.pop(None, 0)
    typer.echo(f"{database.stem}: {accepted} pairs accepted, {outcome.total()} rejected, in {database}.")
    for reason, count in outcome.most_common():
        typer.echo(f"  {count} {reason}")
