"""The search for a quality from what the files of an encoder tell of it."""

from __future__ import annotations

from collections.abc import Callable

QUALITIES = 101
PROBES = 2  # images that are encoded again and again


def nearest_by(measure: Callable[[int], float], wanted: float) -> int:
    """Find the quality, 0–100, whose measure, which rises with it, comes nearest to the wanted one."""
    low, high = 0, QUALITIES - 1
    while high - low > 1:
        middle = (low + high) // 2
        if measure(middle) < wanted:
            low = middle
        else:
            high = middle
    return min(low, high, key=lambda quality: abs(measure(quality) - wanted))


def qualities_around(quality: int) -> list[int]:
    """List the qualities near one, the nearest first."""
    near = range(max(0, quality - 3), min(QUALITIES - 1, quality + 3) + 1)
    return sorted(near, key=lambda other: abs(other - quality))
