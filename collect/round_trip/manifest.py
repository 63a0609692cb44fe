"""A line of data/round_trips/*/manifest.jsonl: what became of an image."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from collect.files import read_rows, write_rows

MANIFEST = "manifest.jsonl"


class Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str  # the image's name among the originals


class Served(Row):
    """An image that came back, and its file in the manifest's folder."""

    source_sha256: str
    file: str
    format: str  # Pillow's name
    platform: str  # of its row in params.yaml
    generation: int
    remote_id: str
    rendition: str
    address: str = ""
    bytes: int
    sha256: str
    uploaded_at: str | None = None
    downloaded_at: str | None = None
    mosaic: str | None = None  # sha256 of the one that it went up in


class Rejected(Row):
    """An image that the site refuses, and its reason."""

    rejected: str


class Missing(Row):
    """An image that has not come back yet, and why."""

    missing: str


LINE: Any = Served | Rejected | Missing


def write_manifest(folder: Path, rows: Iterable[Row]) -> None:
    """Write the manifest of a folder, in the order of the rows."""
    write_rows(folder / MANIFEST, LINE, rows)


def read_round_trips(folder: Path) -> list[Served]:
    """Read the round trips that `collect` exported, those that have a file; a UserError when there are none."""
    rows: list[Row] = read_rows(folder / MANIFEST, LINE, f"Run `comreadv collect --platform {folder.name}`.")
    return [row for row in rows if isinstance(row, Served)]
