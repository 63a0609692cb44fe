"""The command `transfer`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import params
from collect.command_line import PARAMS, OriginOption, ParamsOption
from train.cluster import ExecutorOption, RayAddressOption, executor_of


def transfer(
    platform: Annotated[str, typer.Option(help="The platform of params.yaml that is to read them.")],
    origin: OriginOption = None,
    executor: ExecutorOption = None,
    ray_address: RayAddressOption = None,
    params_file: ParamsOption = PARAMS,
) -> None:
    """Send what `best` made for the other platforms, and for all at once, through a platform, and count what works.

    A real site has to be asked for, by COMREADV_LIVE=1 in the environment.
    Reads data/adversarial and data/images. Writes data/transfer/<platform> and reports/transfer/<platform>.json.
    Stops and resumes.
    """
    settings = params.load(params_file)
    settings.platform(platform)

    from attack.evaluation.transfer import transfer as run
    from attack.evaluation.transfer import write_metrics
    from collect import fingerprint

    generation = fingerprint.generation(platform)
    out = Path("data/transfer") / platform
    on = executor_of(settings.cluster, executor, ray_address)
    success = run(platform, settings, Path("data/images"), out, generation=generation, origin=origin, executor=on)
    write_metrics(platform, settings, success, generation, Path("reports"))
    images = sum(row["images"] for rows in success.values() for row in rows.values())
    typer.echo(f"{platform}: {images} images made for others evaluated, in reports/transfer/{platform}.json.")
