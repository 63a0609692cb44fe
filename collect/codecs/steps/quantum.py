"""ImageMagick's pixels of 16 bits, which it calls quanta, and what its filters share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from collect.codecs.steps.pixels import Levels, Pixels, to_levels

Quanta = NDArray[np.float64]  # [H, W, 3], whole, 0 to 65535

LARGEST = 65535
LEVEL = 257  # quanta in a grey level


def to_quanta(pixels: Pixels) -> Quanta:
    """Return an image's pixels, or levels with fractions, in quanta."""
    return rounded(to_levels(pixels) * LEVEL)


def from_quanta(quanta: Quanta) -> Levels:
    """Return grey levels with fractions."""
    return quanta / LEVEL


def rounded(quanta: NDArray[np.float64]) -> Quanta:
    """Round to whole quanta, halves up, and clip."""
    return np.floor(quanta + 0.5).clip(0, LARGEST)


def convolved(quanta: Quanta, weights: NDArray[np.float64]) -> Quanta:
    """Weigh each pixel's neighbours, [odd, odd]; beyond the edges stand their last pixels."""
    height, width = quanta.shape[:2]
    down, across = (side // 2 for side in weights.shape)
    padded = np.pad(quanta, ((down, down), (across, across), (0, 0)), "edge")
    total = np.zeros_like(quanta)
    for (row, column), weight in np.ndenumerate(weights):
        total += weight * padded[row : row + height, column : column + width]
    return rounded(total)


def reach(sigma: float, dimensions: int) -> int:
    """Return how many pixels to each side count, of a Gaussian: those whose share can be told in 16 bits."""
    far = 2
    while True:
        line = np.exp(-(np.arange(-far, far + 1.0) ** 2) / (2 * sigma**2))
        if line[0] / line.sum() ** dimensions < 1 / LARGEST:
            return far - 1
        far += 1
