"""What images that were made for one platform, or for all of them, do on another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from attack.evaluation.figures import BEST, Figures, eps_of, read_evaluation, read_transfer
from params import UNIVERSAL


class Matrix(NamedTuple):
    """Success after the round trip at one ε: made for (the rows), read on (the columns)."""

    eps: int
    platforms: list[str]
    rows: dict[str, dict[str, Figures]]

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


def matrices(platforms: Sequence[str], reports: Path) -> list[Matrix]:
    """Put the platforms' reports together, one matrix an ε; without any transfer there is none.

    Raises:
        UserError: a report is damaged.
    """
    found: dict[int, dict[str, dict[str, Figures]]] = {}
    transfers = {name: read_transfer(reports / "transfer" / f"{name}.json") for name in platforms}
    if not any(transfers.values()):
        return []
    for name, transfer in transfers.items():
        evaluation = read_evaluation(reports / f"{name}.json")
        for key, attacks in (evaluation.success if evaluation else {}).items():
            if BEST in attacks:
                found.setdefault(eps_of(key), {}).setdefault(name, {})[name] = attacks[BEST]
        for key, sources in (transfer.success if transfer else {}).items():
            for source, figures in sources.items():
                found.setdefault(eps_of(key), {}).setdefault(source, {})[name] = figures
    return [
        Matrix(eps, list(platforms), {source: rows[source] for source in (*platforms, UNIVERSAL) if source in rows})
        for eps, rows in sorted(found.items())
    ]
