"""The bench's rows: what stands in them, on disk and on screen."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from pydantic import BaseModel, ValidationError
from rich import box
from rich.table import Table

from attack.evaluation.titles import title
from collect.files import to_json
from params import Goal, UserError
from train.bench import read_lines

ROW_START = '{"attack":'  # what a row in part begins with


class Row(BaseModel):
    """What became of an attack on a codec, a line of the bench; its first fields tell it from others."""

    attack: str
    codec: str
    eps: int
    steps: int
    step_size: float | None  # grey levels; None: the attack's own
    goal: Goal
    norm: str
    classifier: str  # several: joined by +
    images: int
    photos: str = ""  # a digest of their names
    targeted: bool
    gradient_evaluations: float  # an image
    success_before: float
    success_after: float  # of the real codec
    low: float
    high: float
    psnr: float | None  # of the adversarial file against the photo, dB; None: no change
    ssim: float
    max_change: int  # grey levels
    seconds_per_image: float
    times_bare: float  # of `steps` bare passes forward and backward, in the same minutes
    transfer: dict[str, float] = {}  # success after by classifiers that were not attacked

    @property
    def title(self) -> str:
        return title(self.attack)


def read_bench(file: Path) -> list[Row]:
    """Read the rows of an earlier run, and cut off a last one that was written in part.

    Raises UserError for a file of something else.
    """
    try:
        return [Row.model_validate(row) for row in read_lines(file, ROW_START)]
    except ValidationError:
        raise UserError(f"{file} holds lines that are no rows of this bench. Name another file with --out.") from None


def append_row(file: Path, row: Row) -> None:
    """Add a row at the end of a file."""
    with file.open("a", encoding="utf-8") as out:
        out.write(to_json(Row, row))


def table(rows: Sequence[Row]) -> Table:
    """Lay rows out for a terminal, codec by codec and ε by ε, the strongest after the codec first."""
    laid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title="Success of the attacks, all images counted")
    laid.add_column("codec, attack", no_wrap=True)
    for heading in ("step", "gradients", "before", "after", "interval", "PSNR", "SSIM", "s/image", "× bare"):
        laid.add_column(heading, justify="right", no_wrap=True)
    for (codec, eps), group in groupby(sorted(rows, key=_codec_and_eps), key=_codec_and_eps):
        strongest_first = sorted(group, key=lambda row: -row.success_after)
        laid.add_row(f"[bold]{codec}[/bold], ε={eps}, {strongest_first[0].images} images")
        for row in strongest_first:
            laid.add_row(
                f"  [bold]{row.attack}[/bold]" if row.attack == "best" else f"  {row.attack}",
                f"{row.step_size:g}" if row.step_size else "own",
                f"{row.gradient_evaluations:g}",
                f"{row.success_before:.0%}",
                f"{row.success_after:.0%}",
                f"{row.low:.0%}–{row.high:.0%}",
                "–" if row.psnr is None else f"{row.psnr:.1f}",
                f"{row.ssim:.3f}",
                f"{row.seconds_per_image:.2f}",
                f"{row.times_bare:.2f}",
            )
        laid.add_section()
    return laid


def _codec_and_eps(row: Row) -> tuple[str, int]:
    return row.codec, row.eps
