"""The command `transfer`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from attack.commands._evaluator import evaluator
from collect.command_line import PARAMS, OriginOption, ParamsOption
from train.cluster import ExecutorOption, RayAddressOption


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
    sender = evaluator(platform, origin, executor, ray_address, params_file)

    from attack.evaluation.metrics import write_transfer

    outcomes = sender.transfer(Path("data/transfer") / platform)
    write_transfer(sender, outcomes, Path("reports"))
    typer.echo(f"{platform}: {len(outcomes)} images made for others evaluated, in reports/transfer/{platform}.json.")
