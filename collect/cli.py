"""The commands that talk to platforms."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer

import params

Origin = Annotated[str | None, typer.Option(help="Talk to the site at this address, such as http://127.0.0.1:8001.")]
Live = Annotated[bool, typer.Option("--live", help="Talk to the real site, with your account.")]
ParamsFile = Annotated[Path, typer.Option("--params", help="The settings.")]
PARAMS = Path("params.yaml")
IMAGES = Path("data/images")

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
more = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def collect(
    platform: Annotated[str, typer.Option(help="A platform of params.yaml.")],
    limit: Annotated[int | None, typer.Option(min=1, help="Upload at most so many new files.")] = None,
    mosaic: Annotated[bool, typer.Option("--mosaic", help="Upload many images as one.")] = False,
    live: Live = False,
    cleanup: Annotated[
        bool, typer.Option("--cleanup", help="Delete from the platform what this tool uploaded, and do no more.")
    ] = False,
    origin: Origin = None,
    params_file: ParamsFile = PARAMS,
) -> None:
    """Upload the prepared images to a platform and download what it serves of them.

    Stops and resumes: what is up is never uploaded again. Writes data/round_trips/<platform>.
    """
    from collect import dataset, fingerprint, manifest
    from collect.originals import Original
    from collect.round_trip import round_trip

    settings = params.load(params_file)
    settings.platform(platform)
    if cleanup:
        from collect.cleanup import cleanup as delete

        count = delete(platform, settings, origin=origin, live=live)
        typer.echo(f"{platform}: {count} uploaded files deleted; what was downloaded stays.")
        return
    if not IMAGES.exists():
        dataset.prepare(settings.dataset, IMAGES)
    originals = [Original(each.name, IMAGES / each.name, each.sha256) for each in manifest.read_manifest(IMAGES)]
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
    if outcome.files < outcome.images:
        typer.echo(f"{platform}: {outcome.images / outcome.files:.1f} pairs an upload, in {outcome.files} files.")
    typer.echo(
        f"{platform}: {outcome.uploaded} uploaded, {outcome.downloaded} downloaded, {outcome.complete} of"
        f" {outcome.images} images have their round trip in {out}"
        + (f", {outcome.rejected} refused by the site (reasons in manifest.jsonl)." if outcome.rejected else ".")
    )
    if outcome.missing:
        typer.echo(
            f"{platform}: {outcome.missing} are on the site and did not come back as what went up (reasons in"
            " manifest.jsonl). Run again to try once more.",
            err=True,
        )
    if outcome.complete and outcome.fingerprint["codec"] != fingerprint.load(platform).get("codec"):
        typer.echo(
            f"{platform}: the files don't match fingerprints/{platform}.json: the platform may have changed its codec."
            f" Run `comreadv fingerprint --platform {platform} --write`.",
            err=True,
        )


@more.command("fingerprint")
def fingerprint_command(
    platform: Annotated[str, typer.Option(help="A platform of params.yaml.")],
    write: Annotated[bool, typer.Option("--write", help="Keep it; a changed codec raises the generation.")] = False,
    live: Live = False,
    origin: Origin = None,
    params_file: ParamsFile = PARAMS,
) -> None:
    """Show what a platform's files reveal of its codec now, from eight fresh uploads."""
    from PIL import Image

    from collect import dataset, fingerprint, manifest
    from collect.originals import LIVE_STATE, Original
    from collect.round_trip import round_trip

    settings = params.load(params_file)
    settings.platform(platform)
    if not IMAGES.exists():
        dataset.prepare(settings.dataset, IMAGES)
    folder = LIVE_STATE / "probes" / f"{platform}-{secrets.token_hex(4)}"
    folder.mkdir(parents=True)
    originals = []
    for index, prepared in enumerate(manifest.read_manifest(IMAGES)[:8]):
        with Image.open(IMAGES / prepared.name) as image:
            image.putpixel((0, 0), tuple(secrets.token_bytes(3)))  # new content, so that no old answer fits
            image.save(folder / f"{index}.png")
        originals.append(Original.of(folder / f"{index}.png"))
    known = fingerprint.FOLDER / f"{platform}.json"
    generation = fingerprint.generation(platform) if known.exists() else 1
    outcome = round_trip(
        platform, settings, originals, folder / "served", generation=generation, origin=origin, live=live
    )
    typer.echo(fingerprint.dumps(outcome.fingerprint), nl=False)
    if write and fingerprint.save(platform, outcome.fingerprint):
        typer.echo(f"{known}: generation {fingerprint.generation(platform)}.", err=True)
    elif write:
        typer.echo(f"{known}: unchanged.", err=True)
