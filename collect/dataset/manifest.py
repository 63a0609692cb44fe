"""The manifest of prepared images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ConfigDict

from collect.files import read_rows, write_rows
from collect.images import Box

MANIFEST = "manifest.jsonl"
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True)
class Prepared:
    """One prepared image, as a line of the manifest tells it."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    name: str  # split/stem.png
    split: Split
    source: str
    label: int | None  # ILSVRC class index, where it is known
    sha256: str
    crop: Box | None  # None: the whole photo


@dataclass(frozen=True)
class SetAside:
    """A photo that could not be used, and why."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    source: str
    set_aside: str


LINE: Any = Prepared | SetAside


def write_manifest(folder: Path, rows: Iterable[Prepared | SetAside]) -> None:
    """Write a folder's manifest, in the order of the rows."""
    write_rows(folder / MANIFEST, LINE, rows)


def read_manifest(folder: Path) -> list[Prepared]:
    """List a folder's prepared images, sorted by name; raise UserError when the manifest is amiss."""
    rows: list[Prepared | SetAside] = read_rows(folder / MANIFEST, LINE, "Run `comreadv prepare` again.")
    return [row for row in rows if isinstance(row, Prepared)]
