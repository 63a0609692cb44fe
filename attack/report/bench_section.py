"""The bench's rows as the report shows them: attacks side by side on real codecs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ValidationError

from attack.evaluation.summary import title
from params import UserError

FILE = "bench.jsonl"  # in the reports' folder
AGAIN = "Delete it, then run `dvc repro bench`, or `python -m attack.bench` again."


class Row(BaseModel):
    """What is told of an attack on a codec, of a line of the bench."""

    attack: str
    codec: str
    eps: int
    steps: int
    targeted: bool
    gradient_evaluations: float  # an image
    success_before: float
    success_after: float
    low: float
    high: float
    psnr: float | None  # of the adversarial file against the photo, dB
    ssim: float
    seconds_per_image: float
    images: int

    @property
    def title(self) -> str:
        return title(self.attack)


class Codec(NamedTuple):
    """The rows of a codec: those at one ε, the strongest after the codec first, and all."""

    name: str
    eps: int
    rows: list[Row]
    all_rows: list[Row]


def read(file: Path) -> list[Row]:
    """Read the bench's rows; none where there is no file, a UserError where it is damaged."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        return [Row.model_validate_json(line) for line in lines]
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, ValidationError):
        raise UserError(f"{file} is damaged or no bench of attacks. {AGAIN}") from None


def codecs(rows: Sequence[Row]) -> list[Codec]:
    """Sort rows by codec, and choose an ε for the table of each: of those with the most attacks, the largest."""
    found = []
    for name in dict.fromkeys(row.codec for row in rows):
        of_codec = [row for row in rows if row.codec == name]
        by_eps = {eps: [row for row in of_codec if row.eps == eps] for eps in {row.eps for row in of_codec}}
        eps = max(by_eps, key=lambda eps: (len(by_eps[eps]), eps))
        strongest_first = sorted(by_eps[eps], key=lambda row: -row.success_after)
        found.append(Codec(name, eps, strongest_first, of_codec))
    return found
