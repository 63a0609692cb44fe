"""The command `fingerprint`."""

from __future__ import annotations

from typing import Annotated

import typer

import params
from collect.command_line import PARAMS, LiveOption, OriginOption, ParamsOption, PlatformOption

CHANGED = 10  # exit code of `drift`


def fingerprint(
    platform: PlatformOption,
    write: Annotated[bool, typer.Option("--write", help="Keep it; a changed codec raises the generation.")] = False,
    live: LiveOption = False,
    origin: OriginOption = None,
    params_file: ParamsOption = PARAMS,
) -> None:
    """Show what a platform makes of the probe images now: its codec, whole, as JSON.

    They are deleted there again. `comreadv drift` tells in a sentence what has changed.
    """
    from collect import fingerprint
    from collect.drift import probe
    from collect.drift.wording import describe_jpeg_uploads

    settings = params.load(params_file)
    settings.platform(platform)
    file = fingerprint.FOLDER / f"{platform}.json"
    generation = fingerprint.generation(platform) if file.exists() else 1
    seen = probe.codec_of(probe.send_probes(platform, settings, generation=generation, origin=origin, live=live))
    typer.echo(fingerprint.dumps(seen), nl=False)
    typer.echo(describe_jpeg_uploads(seen), err=True)
    if write and fingerprint.save(platform, seen, said="written by `comreadv fingerprint`"):
        typer.echo(f"{file}: generation {fingerprint.generation(platform)}.", err=True)
    elif write and fingerprint.add_missing(platform, seen):
        typer.echo(f"{file}: generation {fingerprint.generation(platform)} stays; what it lacked is added.", err=True)
    elif write:
        typer.echo(f"{file}: unchanged.", err=True)
