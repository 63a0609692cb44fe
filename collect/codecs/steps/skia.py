"""How Skia, Chromium's painter, samples an image without a graphics card; to the bit.

Sums are taken in its precision and order, since these decide about ties. `whole` is the size of the image that a halved
copy was made of: Skia reckons positions in that first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collect.codecs.steps.matrices import Matrix, weighed

Levels = NDArray[np.int64]  # [H, W, 3] grey levels
Single = NDArray[np.float32]  # C's float
Indices = NDArray[np.int64]
Size = tuple[int, int]  # width and height

SPAN = 127  # pixels that are painted before the position is reckoned anew
LINEAR, CUBIC = (-0.5, 0.5), (-1.5, -0.5, 0.5, 1.5)  # where the pixels around a position are
THIRD = np.float32(1 / 3)
MITCHELL: list[tuple[Any, ...]] = [  # weights of four pixels: of 1, t, t² and t³; in this order of C's floats
    (1 / 6 * THIRD, -1 / 2 * THIRD - THIRD, 1 / 2 * THIRD + 2 * THIRD, -1 / 6 * THIRD - THIRD),
    (1 - 1 / 3 * THIRD, 0, -3 + 2 * THIRD + THIRD, 2 - 3 / 2 * THIRD - THIRD),
    (1 / 6 * THIRD, 1 / 2 * THIRD + THIRD, 3 - 5 / 2 * THIRD - 2 * THIRD, -2 + 3 / 2 * THIRD + THIRD),
    (0, 0, -THIRD, 1 / 6 * THIRD + THIRD),
]


def size_of(levels: Levels) -> Size:
    """Return the width and height."""
    return levels.shape[1], levels.shape[0]


def halvings(whole: Size, size: Size) -> float:
    """Return which halved copy suits a size, with a fraction; half a halving less than the size would have it."""
    width, height = (np.float32(wanted) / np.float32(side) for side, wanted in zip(whole, size, strict=True))
    scale = np.sqrt(width * height)
    return max(0.0, float(-np.log2(scale) - np.float32(0.5))) if scale < 1 else 0.0


def halved(levels: Levels, times: int = 1) -> Levels:
    """Halve downwards, as often as there is something to halve: two pixels, three where a side is odd; truncated."""
    for _ in range(times):
        total = 1
        for axis in (0, 1):
            taps = _halving(levels.shape[axis])
            levels = np.sum([levels.take(pixels, axis) for pixels in taps], axis=0)
            total *= len(taps)
        levels = levels // total
    return levels


def halving_matrix(length: int, times: int) -> Matrix:
    """Return the matrix of `halved`, along a line."""
    matrix = np.eye(length, dtype=np.float32)
    for _ in range(times):
        taps = _halving(len(matrix))
        matrix = weighed(len(matrix), taps, [np.full(len(taps[0]), 1 / len(taps))] * len(taps)) @ matrix
    return matrix


def sixteenths(levels: Levels, size: Size, whole: Size) -> Levels:
    """Interpolate between four pixels, by sixteenths of their distance; truncated."""
    left, right, x = _floored(levels.shape[1], size[0], whole[0], SPAN)
    top, bottom, y = _floored(levels.shape[0], size[1], whole[1], 1)
    across, down = x[:, None], y[:, None, None]
    above = levels[top][:, left] * (16 - across) + levels[top][:, right] * across
    below = levels[bottom][:, left] * (16 - across) + levels[bottom][:, right] * across
    return np.floor_divide(above * (16 - down) + below * down, 256)


def sixteenths_matrix(length: int, served: int) -> Matrix:
    """Return the matrix of `sixteenths`, along a line."""
    before, after, at = _floored(length, served, length, SPAN)
    return weighed(length, [before, after], [1 - at / 16, at / 16])


def in_16_bits(levels: Levels, size: Size, whole: Size) -> Levels:
    """Interpolate between four pixels, by integers of 16 bits."""
    left, right, x = _fixed(levels.shape[1], size[0], whole[0])
    top, bottom, y = _fixed(levels.shape[0], size[1], whole[1])
    above, below = (
        (_product(x[:, None], (rows[:, right] - rows[:, left]) * 128) + (rows[:, right] + rows[:, left]) * 128 + 1) >> 1
        for rows in (levels[top], levels[bottom])
    )
    answer: Levels = (_product(y[:, None, None], below - above) + below + above + 128) >> 8
    return answer


def linear(levels: Levels, size: Size, whole: Size) -> Single:
    """Interpolate between four pixels; returns levels over 255."""
    columns, across = _around(levels.shape[1], size[0], whole[0], LINEAR)
    rows, down = _around(levels.shape[0], size[1], whole[1], LINEAR)
    one = np.float32(1)
    return _sum(levels, columns, [one - across, across], rows, [one - down, down])


def linear_matrix(length: int, served: int) -> Matrix:
    """Return the matrix of `linear`, along a line."""
    taps, at = _around(length, served, length, LINEAR)
    return weighed(length, taps, [1 - at, at])


def cubic(levels: Levels, size: Size) -> Single:
    """Interpolate between 16 pixels by Mitchell's cubic; returns levels over 255."""
    width, height = size_of(levels)
    columns, across = _around(width, size[0], width, CUBIC)
    rows, down = _around(height, size[1], height, CUBIC)
    return _sum(levels, columns, _mitchell(across), rows, _mitchell(down)).clip(0, 1)


def cubic_matrix(length: int, served: int) -> Matrix:
    """Return the matrix of `cubic`, along a line."""
    taps, at = _around(length, served, length, CUBIC)
    return weighed(length, taps, _mitchell(at))


def _halving(length: int) -> list[Indices]:
    """Return the pixels whose mean is one pixel of the halved line."""
    first = np.arange(max(1, length // 2)) * 2
    if length == 1:
        return [first]
    return [first, first + 1, first + 1, first + 2] if length % 2 else [first, first + 1]


def _step(length: int, served: int, whole: int) -> np.float32:
    """Return how many pixels of a copy one pixel covers."""
    return np.float32(1) / (np.float32(served) / np.float32(whole)) * (np.float32(length) / np.float32(whole))


def _floored(length: int, served: int, whole: int, span: int) -> tuple[Indices, Indices, Indices]:
    """Return the pixels before and after each position, and how far it is between, in sixteenths."""
    covered = np.float32(whole) * (np.float32(length) / np.float32(whole))
    step = np.float32(1) / (np.float32(served) / covered)
    places = np.arange(served)
    start = (places // span * span).astype(np.float32) + np.float32(0.5)
    first = ((start * step).astype(np.float64) * 2**32).astype(np.int64) - 2**31
    at = (first + places % span * int(float(step) * 2**32)) >> 28
    before = at >> 4
    return before.clip(0, length - 1), (before + 1).clip(0, length - 1), at & 15


def _fixed(length: int, served: int, whole: int) -> tuple[Indices, Indices, Indices]:
    """Return the pixels before and after each position, and how far it is between, from -32768 to 32767."""
    at = (np.arange(served, dtype=np.float32) + np.float32(0.5)) * _step(length, served, whole)
    fixed = np.floor(np.float32(65536) * at + np.float32(0.5)).astype(np.int64) - 32768
    before = fixed >> 16
    return before.clip(0, length - 1), (before + 1).clip(0, length - 1), (fixed & 0xFFFF) - 32768


def _product(first: Levels, second: Levels) -> Levels:
    answer: Levels = (first * second + 0x4000) >> 15
    return answer


def _around(length: int, served: int, whole: int, offsets: tuple[float, ...]) -> tuple[list[Indices], Single]:
    """Return the pixels around each position, and how far it is between the middle two."""
    at = (np.arange(served, dtype=np.float32) + np.float32(0.5)) * _step(length, served, whole)
    between = at + np.float32(0.5)
    taps = [np.floor(at + np.float32(offset)).astype(np.int64).clip(0, length - 1) for offset in offsets]
    return taps, between - np.floor(between)


def _mitchell(at: Single) -> list[Single]:
    weights = []
    for powers in MITCHELL:
        total = np.full_like(at, powers[-1])
        for power in powers[-2::-1]:
            total = _fused(at, total, np.float32(power))
        weights.append(total)
    return weights


def _sum(
    levels: Levels, columns: list[Indices], across: Sequence[Single], rows: list[Indices], down: Sequence[Single]
) -> Single:
    shares = levels.astype(np.float32) * np.float32(1 / 255)
    total = np.zeros((len(down[0]), len(across[0]), 3), np.float32)
    for row, height in zip(rows, down, strict=True):
        line = shares[row]
        for column, width in zip(columns, across, strict=True):
            total = _fused(width[:, None] * height[:, None, None], line[:, column], total)
    return total


def _fused(first: Single, second: Single, more: Single | np.float32) -> Single:
    """Multiply and add, rounded once."""
    return (first.astype(np.float64) * second + more).astype(np.float32)
