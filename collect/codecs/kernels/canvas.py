"""Chromium's canvas `drawImage`, as it is painted without a graphics card.

An <img> is painted in one way, whatever `imageSmoothingQuality` says: `canvas`. A canvas or an ImageBitmap is painted
as `canvas_low` (what a page gets that sets nothing), `canvas_medium` or `canvas_high`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from collect.codecs.kernels import Kernel
from collect.codecs.steps import skia
from collect.codecs.steps.matrices import Matrix
from collect.codecs.steps.skia import Levels, Single, Size, size_of


def _resize(paint: Callable[[Levels, Size], NDArray[Any]], image: Image.Image, size: Size) -> Image.Image:
    return Image.fromarray(np.rint(paint(np.asarray(image.convert("RGB"), np.int64), size)).astype(np.uint8))


def _image(levels: Levels, size: Size) -> Levels:
    """Paint the smallest halved copy that is no smaller than wanted."""
    whole = size_of(levels)
    copy = _copy(whole, size)
    levels = skia.halved(levels, _whole_halvings(whole, copy))
    if size_of(levels) != copy:
        levels = skia.in_16_bits(levels, copy, whole)
    return levels if copy == size else skia.sixteenths(levels, size, whole)


def _matrix_of_image(length: int, served: int) -> Matrix:
    copy, _ = _copy((length, length), (served, served))
    halved = skia.halving_matrix(length, _whole_halvings((length, length), (copy, copy)))
    halved = skia.linear_matrix(len(halved), copy) @ halved
    return skia.sixteenths_matrix(copy, served) @ halved


def _copy(whole: Size, size: Size) -> Size:
    """Return the size of the copy that an <img> is painted from: its sides are halved upwards."""
    while max(whole) > 1 and all(-(-side // 2) >= wanted for side, wanted in zip(whole, size, strict=True)):
        whole = -(-whole[0] // 2), -(-whole[1] // 2)
    return whole


def _whole_halvings(whole: Size, size: Size) -> int:
    return math.floor(skia.halvings(whole, size) + 0.5)


def _low(levels: Levels, size: Size) -> Levels:
    return skia.sixteenths(levels, size, size_of(levels))


def _medium(levels: Levels, size: Size) -> Single:
    """Blend what two halved copies give."""
    whole = size_of(levels)
    times, share = divmod(skia.halvings(whole, size), 1)
    levels = skia.halved(levels, int(times))
    painted = skia.linear(levels, size, whole)
    if share:
        painted = painted + (skia.linear(skia.halved(levels), size, whole) - painted) * np.float32(share)
    return painted * np.float32(255)


def _matrix_of_medium(length: int, served: int) -> Matrix:
    times, share = divmod(skia.halvings((length, length), (served, served)), 1)
    larger, smaller = (skia.halving_matrix(length, int(times) + more) for more in (0, 1))
    larger, smaller = (skia.linear_matrix(len(each), served) @ each for each in (larger, smaller))
    return larger + np.float32(share) * (smaller - larger)


def _high(levels: Levels, size: Size) -> Single:
    width, height = size_of(levels)
    if size[0] > width and size[1] > height:
        return skia.cubic(levels, size) * np.float32(255)
    return _medium(levels, size)


def _matrix_of_high(length: int, served: int) -> Matrix:
    return skia.cubic_matrix(length, served) if served > length else _matrix_of_medium(length, served)


KERNELS = {
    "canvas": Kernel(partial(_resize, _image), _matrix_of_image, software="Chromium's canvas"),
    "canvas_low": Kernel(partial(_resize, _low), skia.sixteenths_matrix, software="Chromium's canvas, low"),
    "canvas_medium": Kernel(partial(_resize, _medium), _matrix_of_medium, software="Chromium's canvas, medium"),
    "canvas_high": Kernel(partial(_resize, _high), _matrix_of_high, software="Chromium's canvas, high"),
}
