"""The command `retrain`."""

from __future__ import annotations

from typing import Annotated

import typer

import params
from collect.command_line import PARAMS, ParamsOption


def retrain(
    platform: Annotated[
        str | None, typer.Option(help="Only this platform of params.yaml; all that are on unless given.")
    ] = None,
    back: Annotated[
        bool, typer.Option("--back", help="Only put the model of the generation before in use again.")
    ] = False,
    webhook: Annotated[
        str | None, typer.Option(envvar="COMREADV_WEBHOOK", help="Post the summary as JSON to this address.")
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Talk to real sites, with your account.")] = False,
    params_file: ParamsOption = PARAMS,
) -> None:
    """Probe the platforms, and bring a fresh model where the codec has changed; for schedules.

    Writes reports/retrain.json. Exit code 1 when a platform failed; the next run goes on from there.
    """
    from train.retraining import retrain as retraining

    settings = params.load(params_file)
    names = [platform] if platform else list(settings.platforms)
    for name in names:
        settings.platform(name)
    if back:
        if platform is None:
            raise params.UserError("--back puts one platform's model back: name it by --platform.")
        with retraining.retraining_lock() as lock:
            generation = retraining.put_back(platform, lock)
        typer.echo(f"{platform}: the model of generation {generation} is in use again.")
        return
    summary = retraining.retrain(settings, names, live=live)
    for row in summary:
        typer.echo(retraining.describe(row))
    if webhook:
        retraining.post_summary(webhook, summary)
    if any(row.outcome == "failed" for row in summary):
        raise typer.Exit(1)
