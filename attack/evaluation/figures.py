"""What reports/<platform>.json and reports/transfer/<platform>.json tell of success."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel

from collect.files import read_json

BEST = "best"  # the attack that stands for an evaluation, and whose images are sent to the other platforms


class Figures(BaseModel):
    """How an attack did at an ε: shares between 0 and 1, with Wilson's intervals; all images count."""

    images: int
    not_returned: int
    targeted: bool
    steps: int
    success_before: float  # before the upload
    before_low: float
    before_high: float
    success_after: float  # after the round trip
    low: float
    high: float
    psnr: float | None  # dB, of what came back against the photo, the mean; None: nothing came back
    ssim: float | None


Success = dict[str, dict[str, Figures]]  # by eps<ε>, and by attack, or by the platform that images were made for


class Transfer(BaseModel):
    """reports/transfer/<platform>.json: success of what was made for others."""

    platform: str
    generation: int  # of the platform's codec
    classifier: str
    confidence: float  # of the intervals
    success: Success


class Evaluation(BaseModel):
    """reports/<platform>.json: success by attack."""

    platform: str
    site: str  # sandbox, live or codec
    generation: int  # of the platform's codec
    classifier: str
    images: int
    confidence: float  # of the intervals
    success: Success


class Strongest(NamedTuple):
    """The attack whose success stands for an evaluation."""

    attack: str
    eps: int
    figures: Figures


def strongest(success: Success | None) -> Strongest | None:
    """Find `best`, or else the attack of most success, at the largest ε; None: nothing was evaluated."""
    by_eps = {eps_of(key): attacks for key, attacks in (success or {}).items() if attacks}
    if not by_eps:
        return None
    eps = max(by_eps)
    attacks = by_eps[eps]
    name = BEST if BEST in attacks else max(attacks, key=lambda each: (attacks[each].success_after, each))
    return Strongest(name, eps, attacks[name])


def eps_of(key: str) -> int:
    """Return the ε of a key of Success."""
    return int(key.removeprefix("eps"))


def read_evaluation(file: Path, mend: str | None = None) -> Evaluation | None:
    """Read a platform's evaluation; None: there is none. A UserError for a damaged file."""
    mend = mend or f"Run `comreadv evaluate --platform {file.stem}`."
    return read_json(file, Evaluation, mend) if file.exists() else None


def read_transfer(file: Path) -> Transfer | None:
    """Read what was made for others on a platform; None: there is none. A UserError for a damaged file."""
    return read_json(file, Transfer, f"Run `comreadv transfer --platform {file.stem}`.") if file.exists() else None
