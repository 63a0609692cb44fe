"""Transfer: what images that were made for one platform, or for all of them, do on another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from attack.evaluation.evaluate import read_adversarial, send
from attack.evaluation.outcomes import Outcome
from attack.evaluation.summary import BEST, summarise
from params import UNIVERSAL, Params, UserError
from train.cluster import Executor

ADVERSARIAL = Path("data/adversarial")

Summary = dict[str, dict[str, dict[str, Any]]]


class Cell(BaseModel):
    """How images that were made for one platform did on another."""

    images: int
    success_before: float
    success_after: float
    low: float
    high: float


class Read(BaseModel):
    """What a platform's report tells of success: {eps: {attack, or made for: …}}."""

    success: dict[str, dict[str, Cell]]


class Matrix(NamedTuple):
    """Success after the round trip at one ε: made for (the rows), read on (the columns)."""

    eps: int
    platforms: list[str]
    rows: dict[str, dict[str, Cell]]

    @property
    def price(self) -> tuple[float, float, int] | None:
        """Return success made for the platform itself, success of the universal images, and over how many platforms.

        Both are means over the platforms where both are known; None: there is none.
        """
        universal = self.rows.get(UNIVERSAL, {})
        both = [
            (self.rows[name][name].success_after, universal[name].success_after)
            for name in self.platforms
            if name in universal and name in self.rows.get(name, {})
        ]
        if not both:
            return None
        own, shared = zip(*both, strict=True)
        return fmean(own), fmean(shared), len(both)


def transfer(
    name: str,
    params: Params,
    images: Path,
    out: Path,
    *,
    generation: int,
    origin: str | None,
    executor: Executor | None = None,
) -> Summary:
    """Send what was made for the other platforms, and for all, through a platform; sum up by what it was made for.

    The downloads and outcomes are written to `out`. What was made for the platform itself is `evaluate`'s to send.
    """
    others = [each for each in params.platforms if each != name] if BEST in params.attack.attacks else []
    rows = [
        row | {"file": f"{source}/{row['file']}"}
        for source in (*others, UNIVERSAL)
        for row in read_adversarial(ADVERSARIAL / source, images)
        if row["attack"] == BEST
    ]
    outcomes = send(
        name, params, rows, ADVERSARIAL, images, out, generation=generation, origin=origin, executor=executor
    )
    return summarise(outcomes, params.evaluate.confidence, made_for)


def made_for(outcome: Outcome) -> str:
    """Tell for which platform an image was made: the folder that it is in."""
    return outcome.file.partition("/")[0]


def write_metrics(name: str, params: Params, success: Summary, generation: int, reports: Path) -> None:
    """Write reports/transfer/<platform>.json."""
    content = {
        "platform": name,
        "generation": generation,
        "classifier": params.attack.classifier,
        "confidence": params.evaluate.confidence,
        "success": success,
    }
    file = reports / "transfer" / f"{name}.json"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{file.parent} can't be made a folder ({error}). Move what is there away.") from None
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def matrices(platforms: Sequence[str], reports: Path) -> list[Matrix]:
    """Put the platforms' reports together, one matrix an ε; without any transfer there is none.

    Raises:
        UserError: a report is damaged.
    """
    found: dict[str, dict[str, dict[str, Cell]]] = {}
    if not any((reports / "transfer" / f"{name}.json").exists() for name in platforms):
        return []
    for name in platforms:
        own = _read(reports / f"{name}.json", f"comreadv evaluate --platform {name}")
        for eps, cells in own.items():
            if BEST in cells:
                found.setdefault(eps, {}).setdefault(name, {})[name] = cells[BEST]
        foreign = _read(reports / "transfer" / f"{name}.json", f"comreadv transfer --platform {name}")
        for eps, cells in foreign.items():
            for source, cell in cells.items():
                found.setdefault(eps, {}).setdefault(source, {})[name] = cell
    return [
        Matrix(
            int(eps.removeprefix("eps")),
            list(platforms),
            {source: rows[source] for source in (*platforms, UNIVERSAL) if source in rows},
        )
        for eps, rows in sorted(found.items(), key=lambda item: int(item[0].removeprefix("eps")))
    ]


def _read(file: Path, again: str) -> dict[str, dict[str, Cell]]:
    if not file.exists():
        return {}
    try:
        return Read.model_validate_json(file.read_bytes()).success
    except (OSError, ValidationError):
        raise UserError(f"{file} is damaged or of an older form. Run `{again}`.") from None
