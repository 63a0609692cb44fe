"""The commands that look at a platform's codec: `fingerprint` and `drift`."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer

import params
from collect.commands.collect import PARAMS, Live, Origin, ParamsFile

CHANGED = 10  # exit code of `drift`

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command("fingerprint")
def fingerprint_command(
    platform: Annotated[str, typer.Option(help="A platform of params.yaml.")],
    write: Annotated[bool, typer.Option("--write", help="Keep it; a changed codec raises the generation.")] = False,
    live: Live = False,
    origin: Origin = None,
    params_file: ParamsFile = PARAMS,
) -> None:
    """Show what a platform makes of the probe images now: its codec, whole, as JSON.

    They are deleted there again. `comreadv drift` tells in a sentence what has changed.
    """
    from collect.codecs import fingerprint
    from collect.drift import probe

    settings = params.load(params_file)
    settings.platform(platform)
    file = fingerprint.FOLDER / f"{platform}.json"
    generation = fingerprint.generation(platform) if file.exists() else 1
    seen = probe.codec_of(probe.take(platform, settings, generation=generation, origin=origin, live=live))
    typer.echo(fingerprint.dumps(seen), nl=False)
    if write and fingerprint.save(platform, seen, said="written by `comreadv fingerprint`"):
        typer.echo(f"{file}: generation {fingerprint.generation(platform)}.", err=True)
    elif write:
        typer.echo(f"{file}: unchanged.", err=True)


@app.command()
def drift(
    platform: Annotated[str, typer.Option(help="A platform of params.yaml.")],
    write: Annotated[
        bool, typer.Option("--write", help="Keep what is seen: a change raises the generation, for dvc repro to see.")
    ] = False,
    live: Live = False,
    origin: Origin = None,
    params_file: ParamsFile = PARAMS,
) -> None:
    """Probe a platform and tell whether its codec has changed since its fingerprint, and how.

    Exit code 0: unchanged. 10: changed. Others: it could not be told.
    """
    from collect.drift import detect as look
    from collect.locks import FRESHNESS, held

    settings = params.load(params_file)
    settings.platform(platform)
    with (
        held(FRESHNESS, "`comreadv retrain` is at work in this folder. Waiting for its end.")
        if write
        else nullcontext()
    ):
        found = look.examine(platform, settings, origin=origin, live=live)
        typer.echo(look.told(platform, found))
        if write:
            look.keep(platform, found)
    if found.is_change:
        raise typer.Exit(CHANGED)
