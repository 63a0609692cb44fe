"""ImageMagick's resize: Lanczos where the area shrinks, Mitchell's cubic where it grows, 16 bits between and after.

`imagemagick` is `-resize`. `imagemagick_thumbnail` is `-thumbnail`, which skips pixels before it shrinks an image much.
`imagemagick_8bit` is `-thumbnail` with `-depth 8` after it, as in MediaWiki; `imagemagick_triangle` is WordPress's. The
Lanczos of ImageMagick is a polynomial, ours a sine: up to 1 of 65535 apart, at a pixel in some thousands.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from collect.codecs.kernels import Kernel
from collect.codecs.steps.matrices import Matrix, weighed
from collect.codecs.steps.pixels import Levels
from collect.codecs.steps.quantum import Quanta, from_quanta, rounded, to_quanta

Doubles = NDArray[np.float64]
Curve = Callable[[Doubles], Doubles]
Size = tuple[int, int]  # width and height

EPSILON = 1e-12  # ImageMagick's, which decides about ties
SAMPLES = 5  # pixels that a thumbnail keeps for each of its own, across and down


def _lanczos(at: Doubles) -> Doubles:
    return np.sinc(at) * np.sinc(at / 3)


def _mitchell(at: Doubles) -> Doubles:
    near = 8 / 9 + at**2 * (-2 + at * 7 / 6)
    return np.where(at < 1, near, np.where(at < 2, 16 / 9 + at * (-10 / 3 + at * (2 - at * 7 / 18)), 0))


def _triangle(at: Doubles) -> Doubles:
    return np.maximum(0, 1 - at)


def _resize(image: Image.Image, size: Size) -> Levels:
    return from_quanta(_resized(to_quanta(image), size))


def _resize_by_triangle(image: Image.Image, size: Size) -> Levels:
    return from_quanta(_filtered(to_quanta(image), size, _triangle, 1))


def _thumbnail(image: Image.Image, size: Size) -> Levels:
    quanta = to_quanta(image)
    if _samples(image.size, size):
        rows, columns = (_kept(quanta.shape[axis], SAMPLES * size[1 - axis]) for axis in (0, 1))
        quanta = quanta[rows][:, columns]
    return from_quanta(_resized(quanta, size))


def _thumbnail_8bit(image: Image.Image, size: Size) -> Levels:
    return np.floor(_thumbnail(image, size))


def _samples(before: Size, size: Size) -> bool:
    """Tell whether a thumbnail skips pixels."""
    area = size[0] / before[0] * (size[1] / before[1])
    return area <= 0.1 and SAMPLES * min(size) >= 128


def _kept(length: int, served: int) -> NDArray[np.intp]:
    return ((np.arange(served) + 0.5 - EPSILON) * length / served).astype(np.intp)


def _resized(quanta: Quanta, size: Size) -> Quanta:
    if size[0] / quanta.shape[1] * (size[1] / quanta.shape[0]) > 1:
        return _filtered(quanta, size, _mitchell, 2)
    return _filtered(quanta, size, _lanczos, 3)


def _filtered(quanta: Quanta, size: Size, curve: Curve, support: int) -> Quanta:
    wide, high = size[0] / quanta.shape[1], size[1] / quanta.shape[0]
    for axis in (1, 0) if wide > high else (0, 1):
        taps, weights = _taps(quanta.shape[axis], size[1 - axis], curve, support)
        lines = np.moveaxis(quanta, axis, 0)
        total = np.zeros((len(weights[0]), *lines.shape[1:]))
        for tap, weight in zip(taps, weights, strict=True):
            total += weight[:, None, None] * lines[tap]
        quanta = np.moveaxis(rounded(total), 0, axis)
    return quanta


def _taps(length: int, served: int, curve: Curve, support: int) -> tuple[NDArray[np.intp], Doubles]:
    """Return which pixels count for each, and how much; those beyond the edges don't."""
    factor = served / length
    scale = max(1 / factor + EPSILON, 1.0)
    centres = (np.arange(served) + 0.5) / factor + EPSILON
    first = np.maximum(centres - scale * support + 0.5, 0).astype(np.intp)
    last = np.minimum(centres + scale * support + 0.5, length).astype(np.intp)
    taps = first + np.arange((last - first).max())[:, None]
    weights = np.where(taps < last, curve(np.abs((taps - centres + 0.5) * (1 / scale))), 0)
    return np.minimum(taps, length - 1), weights * (1 / np.add.accumulate(weights)[-1])


def _matrix(length: int, served: int) -> Matrix:
    curve, support = (_mitchell, 2) if served > length else (_lanczos, 3)
    return weighed(length, *_taps(length, served, curve, support))


def _matrix_of_triangle(length: int, served: int) -> Matrix:
    return weighed(length, *_taps(length, served, _triangle, 1))


def _matrix_of_thumbnail(length: int, served: int) -> Matrix:
    if not _samples((length, length), (served, served)):
        return _matrix(length, served)
    kept = _kept(length, SAMPLES * served)
    return _matrix(len(kept), served) @ weighed(length, [kept], [np.ones(len(kept))])


KERNELS = {
    "imagemagick": Kernel(_resize, _matrix, software="ImageMagick"),
    "imagemagick_thumbnail": Kernel(_thumbnail, _matrix_of_thumbnail, software="ImageMagick -thumbnail"),
    "imagemagick_8bit": Kernel(_thumbnail_8bit, _matrix_of_thumbnail, software="ImageMagick -thumbnail -depth 8"),
    "imagemagick_triangle": Kernel(_resize_by_triangle, _matrix_of_triangle, software="ImageMagick -filter triangle"),
}
