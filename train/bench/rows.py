"""The bench's rows: what stands in them, on disk and on screen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from params import UserError

FIGURES = {
    "identity": "identity_mae",
    "MAE": "mae",
    "adversarial": "mae_adversarial",
    "seconds": "seconds",
    "parameters": "parameters",
    "images/s": "images_per_second",
}  # a row's, by the table's headings

ROW_START = '{"codec": '  # what a row in part begins with

Row = dict[str, Any]


def read_rows(file: Path) -> list[Row]:
    """Read the rows of an earlier run that have all figures; takes and raises what `read_lines` does."""
    return [row for row in read_lines(file, ROW_START) if isinstance(row, dict) and complete(row)]


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


def complete(row: Row) -> bool:
    """Tell whether a row has all figures of the table."""
    return all(isinstance(row.get(key), int | float) for key in FIGURES.values())


def table(rows: list[Row]) -> Table:
    """Lay rows out for a terminal."""
    laid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title="Mean absolute error on test photos, grey levels")
    laid.add_column("codec, model", overflow="fold")
    for heading in FIGURES:
        laid.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        figures = (f"{row[key]:.3f}" if "mae" in key else f"{row[key]:,.0f}" for key in FIGURES.values())
        laid.add_row(f"{row['codec']}, {row['model']}", *figures)
    return laid
