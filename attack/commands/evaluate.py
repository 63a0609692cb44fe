"""The command `evaluate`."""

from __future__ import annotations

from pathlib import Path

import typer

from attack.commands._evaluator import evaluator
from collect.command_line import PARAMS, OriginOption, ParamsOption, PlatformOption
from train.cluster import ExecutorOption, RayAddressOption


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
    sender = evaluator(platform, origin, executor, ray_address, params_file)

    from attack.evaluation.metrics import write_evaluation

    outcomes = sender.evaluate(Path("data/evaluation") / platform)
    write_evaluation(sender, outcomes, Path("reports"))
    typer.echo(f"{platform}: {len(outcomes)} adversarial images evaluated, in reports/{platform}.json.")
