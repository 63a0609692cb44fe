"""The command `attack`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import params
from collect.command_line import PARAMS, ParamsOption
from params import UNIVERSAL, UserError
from train.cluster import ExecutorOption, RayAddressOption, executor_of

ONLY_BEST = {"attacks": ("best",)}


def attack(
    platform: Annotated[str | None, typer.Option(help="A platform of params.yaml.")] = None,
    universal: Annotated[
        bool, typer.Option("--universal", help="One image a photo for all platforms that are on, and for none.")
    ] = False,
    executor: ExecutorOption = None,
    ray_address: RayAddressOption = None,
    params_file: ParamsOption = PARAMS,
) -> None:
    """Make adversarial images of the prepared test images, plain and through a platform's ComModel.

    With --universal, `best` alone, through the ComModels of all platforms that are on and without compression at once.
    Reads data/images and models/<platform>.safetensors. Writes data/adversarial/<platform>, or
    data/adversarial/universal. Stops and resumes.
    """
    settings = params.load(params_file)
    if (platform is None) != universal:
        raise UserError("Name a platform with --platform, or give --universal for all that are on; one of the two.")
    if platform is None:
        name, platforms, how = UNIVERSAL, list(settings.platforms), settings.attack.model_copy(update=ONLY_BEST)
    else:
        settings.platform(platform)
        name, platforms, how = platform, [platform], settings.attack

    from attack.generation import generate

    out = Path("data/adversarial") / name
    com_models = [Path("models") / f"{each}.safetensors" for each in platforms]
    made = generate(how, Path("data/images"), com_models, out, executor_of(settings.cluster, executor, ray_address))
    typer.echo(f"{name}: {len(made)} adversarial images in {out}.")
