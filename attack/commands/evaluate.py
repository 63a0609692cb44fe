"""The command `evaluate`."""

from __future__ import annotations

from pathlib import Path

import typer

import params
from collect.command_line import PARAMS, OriginOption, ParamsOption, PlatformOption
from train.cluster import ExecutorOption, RayAddressOption, executor_of


def evaluate(
    platform: PlatformOption,
    origin: OriginOption = None,
    executor: ExecutorOption = None,
    ray_address: RayAddressOption = None,
    params_file: ParamsOption = PARAMS,
) -> None:
    """Send the adversarial images through a platform and count those that still work when they come back.

    A real site has to be asked for, by COMREADV_LIVE=1 in the environment.
    Reads data/adversarial/<platform> and data/images. Writes data/evaluation/<platform>, reports/<platform>.json
    and reports/<platform>.svg. Stops and resumes.
    """
    settings = params.load(params_file)
    settings.platform(platform)

    from attack.evaluation import metrics
    from attack.evaluation.evaluate import evaluate as run
    from collect import fingerprint

    generation = fingerprint.generation(platform)
    out = Path("data/evaluation") / platform
    adversarial = Path("data/adversarial") / platform
    on = executor_of(settings.cluster, executor, ray_address)
    outcomes = run(
        platform, settings, adversarial, Path("data/images"), out, generation=generation, origin=origin, executor=on
    )
    metrics.write_metrics(platform, settings, outcomes, generation, Path("reports"))
    typer.echo(f"{platform}: {len(outcomes)} adversarial images evaluated, in reports/{platform}.json.")
