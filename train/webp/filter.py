"""VP8's normal loop filter, which smooths the edges of macroblocks and blocks (RFC 6386, 15.3).

Each macroblock is filtered after those above and to the left, in the same waves that they are coded in.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from train.webp.grid import Grid, waves

REACH = 4  # pixels on either side of an edge that decide; at most three of them change
WEIGHTS = torch.tensor((9.0, 18.0, 27.0))  # of an edge's step in its pixels, from the farthest


class Strength(NamedTuple):
    """How macroblocks are filtered, each [M]."""

    level: Tensor  # 0 to 63
    inner: Tensor  # bool: also within


def smooth(planes: Tensor, grid: Grid, level: Tensor, inner: Tensor) -> Tensor:
    """Filter images' planes.

    Args:
        planes: [P, rows · side, columns · side, N].
        grid: of a plane.
        level: whole numbers, [macroblocks, N].
        inner: whether to filter within a macroblock too, [macroblocks, N].

    Returns:
        [P, N, rows · side, columns · side]
    """
    count, height, width, images = planes.shape
    padded = planes.new_zeros(count, height + REACH, width + REACH, images)
    padded[:, REACH:, REACH:] = planes
    along = torch.arange(grid.side + REACH, device=planes.device)
    square = along[:, None] * (width + REACH) + along
    plane = torch.arange(count, device=planes.device)[:, None] * padded[0, ..., 0].numel()
    pixels = padded.view(-1, images)
    for each in waves(grid, 0, grid.rows * grid.columns):
        wave = each.to(planes.device)
        row, column = wave // grid.columns, wave % grid.columns
        corner = row * grid.side * (width + REACH) + column * grid.side
        places = (square[..., None, None] + plane + corner).flatten()
        squares = pixels.index_select(0, places).view(len(along), len(along), -1)
        strength = Strength(*(part[wave].flatten().repeat(count) for part in (level, inner)))
        for first, turned in ((column == 0, squares), (row == 0, squares.transpose(0, 1))):
            outside = first[:, None].expand(-1, images).flatten().repeat(count)
            _smooth_edges(turned, strength, outside)
        pixels.index_copy_(0, places, squares.view(-1, images))
    return padded[:, REACH:, REACH:].permute(0, 3, 1, 2)


def _smooth_edges(squares: Tensor, strength: Strength, outside: Tensor) -> None:
    """Filter the edges across [lines, pixels, M], in place; the first is that of the picture where `outside`."""
    for start in range(0, squares.shape[1] - REACH, REACH):
        taps = squares[REACH:, start : start + 2 * REACH].transpose(0, 1)  # [8, lines, M]
        is_border = start == 0
        used = strength.level > 0
        used = used & (~outside if is_border else strength.inner)
        _smooth_edge(taps, strength.level, used, is_border)


def _smooth_edge(taps: Tensor, level: Tensor, used: Tensor, is_border: bool) -> None:
    """Filter the eight pixels [8, lines, M] across an edge, in place."""
    limit = 2 * (3 * level + 4 * is_border) + 1
    steps = (taps[1:] - taps[:-1]).abs_()
    outer = taps[2] - taps[5]
    used = used & (4 * steps[3] + outer.abs() <= limit) & (torch.maximum(steps[:3], steps[4:]).amax(0) <= level)
    is_rough = torch.maximum(steps[2], steps[4]) > (level >= 15).float() + (level >= 40)
    outer = outer.clamp_(-128, 127)
    step = 3 * (taps[4] - taps[3])
    sharp = step + (outer if is_border else outer * is_rough)
    forth, back = (((sharp + add) / 8).floor_().clamp_(-16, 15) * used for add in (3, 4))
    if is_border:
        wide = torch.floor(((step + outer).clamp_(-128, 127) * WEIGHTS.to(taps.device)[:, None, None] + 63) / 128)
        wide *= used & ~is_rough
        taps[1:4] += wide
        taps[4:7] -= wide.flip(0)
        forth, back = forth * is_rough, back * is_rough
    else:
        half = torch.floor((back + 1) / 2) * (used & ~is_rough)
        taps[2] += half
        taps[5] -= half
    taps[3] += forth
    taps[4] -= back
    taps[1:7].clamp_(0, 255)
