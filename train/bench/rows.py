"""The bench's rows: what stands in them, on disk and on screen."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from rich import box
from rich.table import Table

from params import UserError
from train.training.training_metrics import EmulatorMetrics

FIGURES = {
    "identity": "identity_mae",
    "MAE": "mae",
    "adversarial": "mae_adversarial",
    "seconds": "seconds",
    "parameters": "parameters",
    "images/s": "images_per_second",
}  # a row's, by the table's headings

ROW_START = '{"codec":'  # what a row in part begins with


class RowKey(BaseModel):
    """What a row is measured of."""

    codec: str
    model: str
    minutes: float
    size: int  # pixels, side
    images: dict[str, int]  # of train and test
    photos: dict[str, str]  # their digests


class Row(RowKey):
    """How a model did on a codec; errors in grey levels."""

    identity_mae: float
    mae: float
    mae_adversarial: float
    mae_noise: float
    seconds: float
    parameters: int
    images_per_second: float
    steps: int
    emulator: EmulatorMetrics | None = None

    @property
    def key(self) -> RowKey:
        return RowKey(**self.model_dump(include=set(RowKey.model_fields)))


def read_rows(file: Path) -> list[Row]:
    """Read the rows of an earlier run that have all figures; takes and raises what `read_lines` does."""
    rows = []
    for line in read_lines(file, ROW_START):
        try:
            rows.append(Row.model_validate(line))
        except ValidationError:  # it is made anew
            continue
    return rows


def read_lines(file: Path, start: str) -> list[Any]:
    """Read a bench's JSON lines, and cut off a last one that was written in part, which begins with `start`.

    Raises UserError for a file of something else.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True) if file.exists() else []
        whole = [line for line in lines if line.endswith("\n")]
        rows = [json.loads(line) for line in whole]
    except ValueError:
        raise UserError(f"{file} holds lines that are no JSON. Name another file with --out.") from None
    if len(whole) < len(lines):
        if not lines[-1].startswith(start[: len(lines[-1])]):
            raise UserError(f"{file} ends in something that is no row of this bench. Name another file with --out.")
        file.write_text("".join(whole), encoding="utf-8")
    return rows


def to_table(rows: Iterable[Row]) -> Table:
    """Lay rows out for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title="Mean absolute error on test photos, grey levels")
    table.add_column("codec, model", overflow="fold")
    for heading in FIGURES:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        figures = (format(getattr(row, name), ".3f" if "mae" in name else ",.0f") for name in FIGURES.values())
        table.add_row(f"{row.codec}, {row.model}", *figures)
    return table
