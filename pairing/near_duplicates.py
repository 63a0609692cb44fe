"""Originals that look alike, such as crops or adversarial variants of one photo, and which of them a file is of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from collect.thumbnails import Thumbnail, thumbnail
from pairing.alignment.align import Measurement, measure_pair, read_aligned
from pairing.alignment.mask import mask_from_png
from pairing.alignment.orientation import Turn, turned
from pairing.alignment.registration import Alignment
from params import Pairing

COARSE = 16  # pixels, side of the thumbnails that find look-alikes
FINE = 32  # of those that tell them apart: small enough that what codecs do averages out
MOST = 8  # look-alikes that are looked at
SAME_FRAME = 0.5  # pixels by which two boxes may differ to show the same part


class LookAlikes:
    """Thumbnails of all originals, by name."""

    def __init__(self, originals: Mapping[str, Path], settings: Pairing) -> None:
        self.files, self.names, self.settings = originals, list(originals), settings
        self.fine = np.stack([_read_thumbnail(file) for file in originals.values()])
        self.coarse = np.stack([_coarser(fine) for fine in self.fine])

    def nearer(self, name: str, rendition: Path, measured: Measurement) -> str | None:
        """Name another original that an accepted rendition is nearer to than to its own, if there is one.

        Where nothing was moved, thumbnails tell. Else a look-alike that shows another part is measured too, since
        a crop of a photo is as like its neighbour that the platform cropped.
        """
        alignment, own = measured.alignment, self.names.index(name)
        assert alignment is not None and measured.residual is not None
        counts = _counts(measured.mask, COARSE)
        seen = _read_thumbnail(rendition, alignment.turn)
        distances = (np.abs(self.coarse - _coarser(seen)) * counts).sum(axis=(1, 2, 3))
        near: list[int] = [each for each in distances.argsort(kind="stable")[:MOST].tolist() if each != own]
        near = [each for each in near if distances[each] <= 2 * distances[own]]
        with Image.open(self.files[name]) as image:
            size = image.size
        counts = _counts(measured.mask, FINE)
        if alignment.is_whole(size):
            nearest = min([own, *near], key=lambda each: self._distance(each, seen, counts))
            return None if nearest == own else self.names[nearest]
        laid = thumbnail(Image.fromarray(read_aligned(rendition, size, alignment)), FINE)
        for each in near:
            other = measure_pair(self.files[self.names[each]], rendition, self.settings)
            if other.reason or other.alignment is None or other.residual is None:
                continue
            if _apart(alignment, other.alignment) <= SAME_FRAME:
                closer = self._distance(each, laid, counts) < self._distance(own, laid, counts)
            else:
                closer = other.residual < measured.residual
            if closer:
                return self.names[each]
        return None

    def _distance(self, place: int, seen: Thumbnail, counts: Thumbnail) -> float:
        return float((np.abs(self.fine[place] - seen) * counts).sum())


def _read_thumbnail(file: Path, turn: Turn = None) -> Thumbnail:
    """Shrink an image to FINE × FINE, set upright by a turn."""
    with Image.open(file) as image:
        return thumbnail(turned(image, turn), FINE)


def _coarser(fine: Thumbnail) -> Thumbnail:
    mean: Thumbnail = fine.reshape(COARSE, FINE // COARSE, COARSE, FINE // COARSE, 3).mean(axis=(1, 3))
    return mean


def _counts(mask: bytes | None, side: int) -> Thumbnail:
    """Tell which of a thumbnail's pixels a mask leaves: 1, others 0; [side, side, 1]."""
    if mask is None:
        return np.ones((side, side, 1), np.float32)
    image = Image.fromarray(mask_from_png(mask)).convert("L").resize((side, side), Image.Resampling.BOX)
    return np.asarray(np.asarray(image) == 0, np.float32)[..., None]


def _apart(first: Alignment, second: Alignment) -> float:
    if first.turn != second.turn:
        return float("inf")
    return max(abs(edge - other) for edge, other in zip(first.box, second.box, strict=True))
