"""The command `doctor`."""

from __future__ import annotations

import typer

import params
from collect.command_line import PARAMS, LiveOption, OriginOption, ParamsOption, PlatformOption


def doctor(
    platform: PlatformOption,
    live: LiveOption = False,
    origin: OriginOption = None,
    params_file: ParamsOption = PARAMS,
) -> None:
    """Try each step of a platform's adapter with one tiny image, which is deleted again; tell which step fails.

    Exit code 1 when one does, with the locator that found nothing, and a screenshot and the HTML of the page.
    """
    from rich.console import Console

    from collect.doctor.run import examine_platform

    if not examine_platform(platform, params.load(params_file), Console(soft_wrap=True), origin=origin, live=live):
        raise typer.Exit(1)
