"""The manifest of prepared images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError

from collect.images import Box
from params import UserError

MANIFEST = "manifest.jsonl"
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True)
class Prepared:
    """One prepared image, as a line of the manifest tells it."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str  # split/stem.png
    split: Split
    source: str
    label: int | None  # ILSVRC class index, where it is known
    sha256: str
    crop: Box | None  # None: the whole photo


@dataclass(frozen=True)
class SetAside:
    """A photo that could not be used, and why."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    source: str
    set_aside: str


LINE: TypeAdapter[Prepared | SetAside] = TypeAdapter(Prepared | SetAside)


def read_manifest(folder: Path) -> list[Prepared]:
    """List a folder's prepared images, sorted by name; raise UserError when the manifest is amiss."""
    path = folder / MANIFEST
    try:
        lines = path.read_bytes().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path} is missing. Run `comreadv prepare` first.") from None
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}.") from None
    images = []
    for number, line in enumerate(lines, 1):
        try:
            row = LINE.validate_json(line, strict=True)
        except ValidationError:
            message = f"{path}, line {number}: not a manifest's line. Run `comreadv prepare` again."
            raise UserError(message) from None
        if isinstance(row, Prepared):
            images.append(row)
    return images
