"""The command `collect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import params
from collect.command_line import PARAMS, LiveOption, OriginOption, ParamsOption, PlatformOption
from params import UserError

IMAGES = Path("data/images")


def collect(
    platform: PlatformOption,
    limit: Annotated[int | None, typer.Option(min=1, help="Upload at most so many new files.")] = None,
    mosaic: Annotated[bool, typer.Option("--mosaic", help="Upload many images as one.")] = False,
    live: LiveOption = False,
    cleanup: Annotated[
        bool,
        typer.Option(
            "--cleanup", help="Delete all that this tool has up in the account, adversarial images too, and do no more."
        ),
    ] = False,
    origin: OriginOption = None,
    params_file: ParamsOption = PARAMS,
) -> None:
    """Upload the prepared images to a platform and download what it serves of them.

    Stops and resumes: what is up is never uploaded again. Writes data/round_trips/<platform>.
    """
    from collect import fingerprint
    from collect.dataset.manifest import read_manifest
    from collect.dataset.prepare import prepare
    from collect.round_trip import Original, round_trip

    settings = params.load(params_file)
    settings.platform(platform)
    if cleanup:
        if limit is not None or mosaic:
            raise UserError("--cleanup deletes all that is up, and uploads nothing: leave out --limit and --mosaic.")
        from collect.round_trip.cleanup import cleanup as delete

        count = delete(platform, settings, origin=origin, live=live)
        typer.echo(f"{platform}: {count} uploaded files deleted; what was downloaded stays.")
        return
    if not IMAGES.exists():
        prepare(settings.dataset, IMAGES)
    originals = [Original(each.name, IMAGES / each.name, each.sha256) for each in read_manifest(IMAGES)]
    out = Path("data/round_trips") / platform
    generation = fingerprint.generation(platform)
    outcome = round_trip(
        platform,
        settings,
        originals,
        out,
        generation=generation,
        origin=origin,
        limit=limit,
        mosaic=mosaic,
        live=live,
    )
    where = f"--platform {platform}" + " --live" * (outcome.site == "live")
    where += f" --origin {origin}" if origin else ""
    if mosaic and outcome.files:
        pairs = outcome.complete / outcome.files
        typer.echo(f"{platform}: {pairs:.1f} pairs an upload (uploaded files: {outcome.files}).")
    typer.echo(
        f"{platform}: {outcome.uploaded} uploaded, {outcome.downloaded} downloaded, {outcome.complete} of"
        f" {outcome.images} images have their round trip in {out}"
        + (f", {outcome.rejected} refused by the site (reasons in manifest.jsonl)." if outcome.rejected else ".")
    )
    if outcome.missing:
        typer.echo(
            f"{platform}: {outcome.missing} files did not come back, or not as what went up (reasons in manifest.jsonl;"
            f" a further rendition has its own). Run `comreadv collect {where}` again; in the pipeline, where DVC keeps"
            f" what came, `dvc repro --force --single-item collect@{platform}`, then `dvc repro`.",
            err=True,
        )
    if outcome.complete and not fingerprint.matches(fingerprint.load(platform), outcome.fingerprint):
        typer.echo(
            f"{platform}: the files don't match fingerprints/{platform}.json: the platform may have changed its codec."
            f" Run `comreadv drift {where} --write`.",
            err=True,
        )
