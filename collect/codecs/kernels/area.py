"""GD's imagecopyresampled (PHP): the average of the area that a pixel covers, parts of pixels by their share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from collect.codecs.kernels import Kernel
from collect.codecs.steps.matrices import weighed

Single = NDArray[np.float32]  # C's float; GD's sums are taken in it, and their order decides about ties
OPAQUE = np.float32(127)  # GD's scale of opacity; it weighs every pixel


def _resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    levels = np.asarray(image.convert("RGB"), np.float32)
    (columns, widths), (rows, heights) = (_shares(levels.shape[1 - axis], size[axis]) for axis in (0, 1))
    total = np.zeros((size[1], size[0], 3), np.float32)
    weight, area = np.zeros((2, size[1], size[0], 1), np.float32)
    for row, height in zip(rows, heights, strict=True):
        line = levels[row]
        for column, width in zip(columns, widths, strict=True):
            share = width[None, :, None] * height[:, None, None]
            total += line[:, column] * (share * OPAQUE)
            weight += share * OPAQUE
            area += share
    total = total / area / (weight / area)
    return Image.fromarray(np.floor(total + np.float32(0.5)).clip(0, 255).astype(np.uint8))


def _shares(length: int, served: int) -> tuple[NDArray[np.intp], Single]:
    """Return which pixels each pixel of a resized line covers, and by how much: [most at a time, served] both."""
    edges = np.arange(served + 1, dtype=np.float32) * np.float32(length) / np.float32(served)
    first, last = edges[:-1], edges[1:]
    covered = np.floor(first) + np.arange(np.ceil(length / served) + 1, dtype=np.float32)[:, None]
    share = np.where(covered == np.floor(last), last - np.floor(last), np.float32(1))
    share[0] = np.minimum(np.float32(1) - (first - np.floor(first)), last - first)
    share[1:][covered[1:] >= last] = 0
    return np.minimum(covered, length - 1).astype(np.intp), share


def _matrix(length: int, served: int) -> Single:
    covered, share = _shares(length, served)
    return weighed(length, covered, share / share.sum(0))


KERNELS = {"gd": Kernel(_resize, _matrix, software="GD (PHP)")}
