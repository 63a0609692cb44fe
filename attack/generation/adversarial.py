"""Adversarial images as their manifest tells them."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from collect.files import read_rows
from params import UNIVERSAL, UserError

MANIFEST = "manifest.jsonl"


class Adversarial(BaseModel):
    """One adversarial image, a line of the manifest."""

    model_config = ConfigDict(frozen=True)

    file: str  # eps<eps>/<attack>/<stem>.png
    image: str  # the original, test/<stem>.png
    attack: str
    eps: int
    steps: int
    task: str = "classify"
    targeted: bool
    prediction: int  # the classifier's answer on the original
    target: int | None  # None: untargeted
    sha256: str
    max_change: int  # largest change of a pixel's colour, measured on the file, grey levels


def read_adversarial(folder: Path, images: Path) -> list[Adversarial]:
    """Read the manifest of adversarial images; a UserError when there is none, or its photos are gone."""
    mend = f"Run `comreadv attack {'--universal' if folder.name == UNIVERSAL else f'--platform {folder.name}'}`."
    rows = read_rows(folder / MANIFEST, Adversarial, mend)
    if gone := [row.image for row in rows if not (images / row.image).exists()]:
        raise UserError(f"{folder} was made from {gone[0]}, which is not in {images} now. {mend}")
    return rows
