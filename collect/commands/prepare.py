"""The command `prepare`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

import params
from collect.command_line import PARAMS, ParamsOption
from collect.dataset import prepare as dataset_files
from collect.dataset.manifest import MANIFEST, SPLITS
from params import UserError


def prepare(
    params_file: ParamsOption = PARAMS,
    dataset: Annotated[str | None, typer.Option(help="sample, folder or ilsvrc.")] = None,
    root: Annotated[Path | None, typer.Option(help="Where the photos of folder or ilsvrc are.")] = None,
    size: Annotated[int | None, typer.Option(help="Side of the images, pixels.")] = None,
    fit: Annotated[str | None, typer.Option(help="squash: resize both sides; crop: the centred square.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the splits and crops.")] = None,
    crops: Annotated[int | None, typer.Option(help="Crops a photo of the sample; 0: none.")] = None,
    out: Annotated[Path, typer.Option(help="Where the images go.")] = Path("data/images"),
) -> None:
    """Prepare the dataset: size × size PNG images in three splits, and manifest.jsonl.

    Options override the settings.
    """
    given = {"name": dataset, "root": root, "size": size, "fit": fit, "seed": seed, "crops": crops}
    chosen = {key: value for key, value in given.items() if value is not None}
    settings = params.load(params_file).dataset
    try:
        settings = params.Dataset.model_validate(settings.model_dump() | chosen)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, each['loc'])) or 'dataset'}: {each['msg']}" for each in error.errors()]
        raise UserError("\n".join(wrong)) from None
    summary = dataset_files.prepare(settings, out)
    whole = [image for image in summary.images if image.crop is None]
    splits = Counter(image.split for image in summary.images)
    typer.echo(
        f"{out}: {len(whole)} photos, {sum(image.label is not None for image in whole)} labelled; images: "
        + ", ".join(f"{splits[split]} {split}" for split in SPLITS)
        + f"; {len(summary.set_aside)} photos set aside"
    )
    for row in summary.set_aside[:5]:
        typer.echo(f"  {row.source}: {row.set_aside}")
    if len(summary.set_aside) > 5:
        typer.echo(f"  … all in {out / MANIFEST}")
