"""Whether a served file shows the image that was uploaded: by what no codec changes, its coarse colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from collect.images import DAMAGED
from collect.round_trip.original import changed

Thumbnail = NDArray[np.float32]

SIDE = 16  # cells
MOST = 10.0  # grey levels, on average, that codecs, resizing and a watermark may change a cell by
CLEARLY = 2.0  # grey levels by which another image has to be nearer to be taken for the one that is shown
ALIKE = 8.0  # grey levels; images nearer to each other than this are not told apart for sure


def look(file: Path) -> Thumbnail:
    """Shrink an image to [16, 16, 3] mean colours, float32."""
    with Image.open(file) as image:
        image.draft("RGB", (4 * SIDE, 4 * SIDE))
        return np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32)


class ThumbnailIndex:
    """Those of a run's files, by sha256, each looked at when it is first asked for."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files
        self._rows: dict[str, int] = {}
        self._seen = np.empty((256, SIDE, SIDE, 3), np.float32)  # the rows beyond those are room for more

    def of(self, sha256: str) -> Thumbnail:
        if sha256 not in self._rows:
            row = len(self._rows)
            if row == len(self._seen):
                self._seen = np.concatenate([self._seen, np.empty_like(self._seen)])
            try:
                self._seen[row] = look(self._files[sha256])
            except (*DAMAGED, OSError):
                raise changed(self._files[sha256]) from None
            self._rows[sha256] = row
        own: Thumbnail = self._seen[self._rows[sha256]]
        return own

    def shown_by(self, served: Thumbnail, sha256: str) -> bool:
        """Tell whether a file shows an image, rather than none or clearly another one that was asked for so far."""
        return shows(served, self.of(sha256), self._seen[: len(self._rows)])


def distance(first: Thumbnail, second: Thumbnail) -> float:
    """Return the mean absolute difference, grey levels."""
    return float(np.abs(first - second).mean())


def distances(one: Thumbnail, others: Sequence[Thumbnail] | NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean absolute difference from each of the others, grey levels."""
    together = np.asarray(others, np.float32).reshape(-1, one.size)
    return np.asarray(np.abs(together - one.ravel()).mean(axis=1))


def shows(served: Thumbnail, original: Thumbnail, others: Sequence[Thumbnail] | NDArray[np.float32]) -> bool:
    """Tell whether a file shows an image, rather than none of ours or clearly one of the others."""
    own = distance(served, original)
    return own <= MOST and bool((distances(served, others) + CLEARLY >= own).all())


def clearly_shown(served: Thumbnail, originals: Sequence[Thumbnail]) -> int | None:
    """Find the image that a file shows, clearly nearer than any other; None when it surely shows none."""
    costs = distances(served, originals)
    if not costs.size:
        return None
    nearest = int(costs.argmin())
    clearly = (np.delete(costs, nearest) > costs[nearest] + CLEARLY).all()
    return nearest if clearly and costs[nearest] <= MOST else None


def match(served: Sequence[Thumbnail], originals: Sequence[Thumbnail]) -> dict[int, int]:
    """Find which file shows which image: position of the file → of the image, only where it surely does."""
    from scipy.optimize import linear_sum_assignment  # slow to import, and seldom needed

    costs = np.array([distances(one, originals) for one in served])
    files, images = linear_sum_assignment(costs)
    return {
        int(file): int(image)
        for file, image in zip(files, images, strict=True)
        if shows(served[file], originals[image], [other for at, other in enumerate(originals) if at != image])
    }
