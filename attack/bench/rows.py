"""The bench's rows: what stands in them, on disk and on screen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from params import UserError
from train.bench import read_lines

ROW_START = '{"attack": '  # what a row in part begins with
FIGURES = ("success_before", "success_after", "low", "high", "psnr", "ssim", "seconds_per_image", "times_bare")

Row = dict[str, Any]


def read(file: Path) -> list[Row]:
    """Read the rows of an earlier run, and cut off a last one that was written in part.

    Raises UserError for a file of something else.
    """
    rows = read_lines(file, ROW_START)
    if not all(isinstance(row, dict) and {"attack", "codec", *FIGURES} <= row.keys() for row in rows):
        raise UserError(f"{file} holds lines that are no rows of this bench. Name another file with --out.")
    return rows


def append(file: Path, row: Row) -> None:
    """Add a row at the end of a file."""
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps(row) + "\n")


def table(rows: Sequence[Row]) -> Table:
    """Lay rows out for a terminal, codec by codec and ε by ε, the strongest after the codec first."""
    laid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title="Success of the attacks, all images counted")
    laid.add_column("codec, attack", no_wrap=True)
    for heading in ("step", "gradients", "before", "after", "interval", "PSNR", "SSIM", "s/image", "× bare"):
        laid.add_column(heading, justify="right", no_wrap=True)
    for key, group in groupby(sorted(rows, key=_order), key=_order):
        first, *others = group
        laid.add_row(f"[bold]{key[0]}[/bold], ε={key[1]:g}, {first['images']} images")
        for row in sorted((first, *others), key=lambda row: -row["success_after"]):
            laid.add_row(
                f"  [bold]{row['attack']}[/bold]" if row["attack"] == "best" else f"  {row['attack']}",
                f"{row['step_size']:g}" if row["step_size"] else "own",
                f"{row['gradient_evaluations']:g}",
                f"{row['success_before']:.0%}",
                f"{row['success_after']:.0%}",
                f"{row['low']:.0%}–{row['high']:.0%}",
                "–" if row["psnr"] is None else f"{row['psnr']:.1f}",
                f"{row['ssim']:.3f}",
                f"{row['seconds_per_image']:.2f}",
                f"{row['times_bare']:.2f}",
            )
        laid.add_section()
    return laid


def _order(row: Row) -> tuple[str, float]:
    return row["codec"], row["eps"]
