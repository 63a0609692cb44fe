"""The command `drift`."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer

import params
from collect.command_line import PARAMS, LiveOption, OriginOption, ParamsOption, PlatformOption

CHANGED = 10  # exit code of `drift`


def drift(
    platform: PlatformOption,
    write: Annotated[
        bool, typer.Option("--write", help="Keep what is seen: a change raises the generation, for dvc repro to see.")
    ] = False,
    live: LiveOption = False,
    origin: OriginOption = None,
    params_file: ParamsOption = PARAMS,
) -> None:
    """Probe a platform and tell whether its codec has changed since its fingerprint, and how.

    Exit code 0: unchanged. 10: changed. Others: it could not be told.
    """
    from collect import drift as codec_drift
    from collect.locks import FRESHNESS, file_lock

    settings = params.load(params_file)
    settings.platform(platform)
    with (
        file_lock(FRESHNESS, "`comreadv retrain` is at work in this folder. Waiting for its end.")
        if write
        else nullcontext()
    ):
        found = codec_drift.examine(platform, settings, origin=origin, live=live)
        typer.echo(codec_drift.describe_drift(platform, found))
        if write:
            codec_drift.record_drift(platform, found)
    if found.is_change:
        raise typer.Exit(CHANGED)
