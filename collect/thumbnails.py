"""Whether a served file shows the image that was uploaded: by what no codec changes, its coarse colours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from collect.images import decoding

Thumbnail = NDArray[np.float32]  # [side, side, 3], mean colours

SIDE = 16  # cells
MAX_DISTANCE = 10.0  # grey levels, on average, that codecs, resizing and a watermark may change a cell by
CLEAR_MARGIN = 2.0  # grey levels by which another image has to be nearer to be taken for the one that is shown
LOOKALIKE_DISTANCE = 8.0  # grey levels; images nearer to each other than this are not told apart for sure


def shrink(image: Image.Image, side: int, mode: str = "RGB") -> Image.Image:
    """Shrink an image to the mean colours, or with mode "L" grey levels, of side × side cells."""
    return image.convert(mode).resize((side, side), Image.Resampling.BOX)


def thumbnail(image: Image.Image, side: int = SIDE) -> Thumbnail:
    return np.asarray(shrink(image, side), np.float32)


def read_thumbnail(file: Path) -> Thumbnail:
    """Make the thumbnail of a file; raise Unusable when it can't be read, or is damaged."""
    with decoding(), Image.open(file) as image:
        image.draft("RGB", (4 * SIDE, 4 * SIDE))
        return thumbnail(image)


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
    return own <= MAX_DISTANCE and bool((distances(served, others) + CLEAR_MARGIN >= own).all())


def clearly_shown(served: Thumbnail, originals: Sequence[Thumbnail]) -> int | None:
    """Find the image that a file shows, clearly nearer than any other; None when it surely shows none."""
    costs = distances(served, originals)
    if not costs.size:
        return None
    nearest = int(costs.argmin())
    clearly = (np.delete(costs, nearest) > costs[nearest] + CLEAR_MARGIN).all()
    return nearest if clearly and costs[nearest] <= MAX_DISTANCE else None


def match_thumbnails(served: Sequence[Thumbnail], originals: Sequence[Thumbnail]) -> dict[int, int]:
    """Find which file shows which image: position of the file → of the image, only where it surely does."""
    from scipy.optimize import linear_sum_assignment  # slow to import, and seldom needed

    costs = np.array([distances(one, originals) for one in served])
    files, images = linear_sum_assignment(costs)
    return {
        int(file): int(image)
        for file, image in zip(files, images, strict=True)
        if shows(served[file], originals[image], [other for at, other in enumerate(originals) if at != image])
    }
