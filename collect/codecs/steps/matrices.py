"""Matrices that resize a line of pixels, made of which pixels count and how much."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]  # [pixels after, pixels before]
Taps = list[NDArray[Any]] | NDArray[Any]  # [taps, pixels after]


def weighed(length: int, pixels: Taps, weights: Taps) -> Matrix:
    """Return the matrix by which a pixel is the sum of so many pixels' levels, each times its weight.

    Args:
        length: of the line before, pixels.
        pixels: which pixels count; beyond the edges stand their last ones.
        weights: of each of these.
    """
    matrix = np.zeros((len(pixels[0]), length), np.float64)
    for pixel, weight in zip(pixels, weights, strict=True):
        np.add.at(matrix, (np.arange(len(pixel)), pixel.clip(0, length - 1)), weight)
    return matrix.astype(np.float32)
