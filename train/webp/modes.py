"""How libwebp chooses macroblocks' predictions: it codes each way and weighs bits against distortion.

Follows libwebp's quant_enc.c at method 4 (no trellis), many macroblocks at once: M is macroblocks times images.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from train.webp.blocks import (
    forward,
    inverse,
    predict_large,
    predict_small,
    spectrum,
    unwalsh,
    walsh,
)
from train.webp.rates import AFTER_DC, MEANS, MODE_COSTS, WHOLE, blocks_cost
from train.webp.settings import Settings
from train.webp.tables import SMALL_MODES, ZIGZAG

DISTORTION = 256  # the weight of squared errors
LARGE_COSTS = torch.tensor((663.0, 919.0, 872.0, 919.0))  # of a macroblock's modes, with the choice of one for it all
SMALL_COST = 211  # of the choice of a mode a block
FLAT = 3  # levels besides DC, up to which all modes but the first are
FLAT_COST = 140  # dearer


class Costs(NamedTuple):
    """The tokens' costs: those of `token_costs`, flat, and where the places of a block begin, [types, 16, M]."""

    table: Tensor
    places: Tensor


class Neighbours(NamedTuple):
    """What of the macroblocks above and to the left matters for blocks that touch them."""

    top: Tensor  # [blocks across, M]
    left: Tensor


class Large(NamedTuple):
    """Macroblocks that are each predicted as one."""

    score: Tensor  # float64 [M], to compare with blocks on their own
    mode: Tensor  # [M]
    decoded: Tensor  # [16, 16 blocks, M]
    levels: Tensor  # [16, 16 blocks, M], without sign, in zigzag order; DC is 0
    means: Tensor  # [16, M], likewise: the blocks' DC
    contexts: Tensor  # [16 blocks, M]
    blockiness: Tensor  # [M], the largest step between blocks that have nothing but their means


class Source(NamedTuple):
    """What is to be coded."""

    pixels: Tensor  # [16, …, M]
    spectrum: Tensor  # […, M]


def choose_large(
    source: Source,
    edges: tuple[Tensor, Tensor, Tensor],
    near: Neighbours,
    means_context: Tensor,
    costs: Costs,
    settings: Settings,
) -> Large:
    """Choose the best of four modes for macroblocks of 16 blocks between their edges (see `predict_large`)."""
    pixels = source.pixels
    prediction = predict_large(*edges)
    coefficients = forward(pixels[:, None] - prediction)
    mean_levels, means = settings.means(walsh(coefficients[0].transpose(0, 1)))
    coefficients[0] = 0
    levels, dequantised = settings.luma(coefficients)
    dequantised[0] = unwalsh(means).transpose(0, 1)
    decoded = inverse(dequantised, prediction)
    mean_levels, levels = (zigzag(each) for each in (mean_levels, levels))
    filled = levels.amax(0) > 0
    contexts = count_filled(filled, near)
    rate = blocks_cost(mean_levels, means_context, costs.table, costs.places[MEANS][:, None])
    rate = rate + blocks_cost(levels[1:], contexts, costs.table, costs.places[AFTER_DC][1:, None, None]).sum(1)
    bits = (rate + LARGE_COSTS.to(rate.device)[:, None]).double()
    difference = (spectrum(decoded) - source.spectrum).abs_().div_(32).floor_().sum(1)
    squares = (decoded - pixels[:, None]).square_().sum((0, 2))
    flat = (pixels == pixels[:1, :1]).all(0).all(0) & (filled.any(1).cumsum(0) == 0)
    distortion = (squares + _weigh(difference, settings)) * (1 + flat.double())
    score = bits * settings.large_bits + DISTORTION * distortion
    best = score.argmin(0)
    bits, distortion, total = (pick(each, best, 0) for each in (bits, distortion, squares * (1 + flat)))
    levels, mean_levels = pick(levels, best), pick(mean_levels, best)
    blocky = (levels.amax((0, 1)) == 0) & (total > settings.least_distortion)
    return Large(
        bits * settings.mode_bits + DISTORTION * distortion,
        best,
        pick(decoded, best),
        levels,
        mean_levels,
        pick(contexts, best, 0),
        mean_levels[torch.tensor((1, 2, 4))].amax(0) * blocky,
    )


class Small(NamedTuple):
    """Blocks that are predicted on their own."""

    score: Tensor  # float64 [M]
    mode: Tensor
    decoded: Tensor  # [16, M]
    levels: Tensor  # [16, M], without sign, in zigzag order


def choose_small(
    source: Source, edges: Tensor, context: Tensor, modes: tuple[Tensor, Tensor], costs: Costs, settings: Settings
) -> Small:
    """Choose the best of ten modes for blocks with these edges, below and to the right of blocks of these modes."""
    prediction = predict_small(edges)
    levels, dequantised = settings.luma(forward(source.pixels[:, None] - prediction))
    decoded = inverse(dequantised, prediction)
    levels = zigzag(levels)
    rate = blocks_cost(levels, context, costs.table, costs.places[WHOLE][:, None])
    rate += MODE_COSTS.to(rate.device).index_select(0, modes[0] * SMALL_MODES + modes[1]).T
    rate[1:] += FLAT_COST * ((levels[1:, 1:] > 0).sum(0) <= FLAT)
    difference = (spectrum(decoded) - source.spectrum).abs_().div_(32).floor_()
    squares = (decoded - source.pixels[:, None]).square_().sum(0)
    bits, distortion = rate.double(), DISTORTION * (squares + _weigh(difference, settings))
    best = (bits * settings.small_bits + distortion).argmin(0)
    score = pick(bits, best, 0) * settings.mode_bits + pick(distortion, best, 0)
    return Small(score, best, pick(decoded, best), pick(levels, best))


def count_filled(filled: Tensor, near: Neighbours) -> Tensor:
    """Count the blocks with levels above and to the left of each, [modes, blocks, M]."""
    side = len(near.top)
    square = filled.view(-1, side, side, filled.shape[-1]).float()
    top = near.top[None, None].expand(len(square), 1, -1, -1)
    left = near.left[None, :, None].expand(len(square), -1, 1, -1)
    above, before = torch.cat([top, square[:, :-1]], dim=1), torch.cat([left, square[:, :, :-1]], dim=2)
    return (above + before).view(filled.shape)


def _weigh(difference: Tensor, settings: Settings) -> Tensor:
    return torch.floor((settings.spectral * difference + 128) / 256)


def zigzag(levels: Tensor) -> Tensor:
    """Return levels [16, …] without their sign, in the order that they are coded in."""
    return levels.abs().index_select(0, ZIGZAG.to(levels.device))


def pick(values: Tensor, mode: Tensor, dimension: int = 1) -> Tensor:
    """Return the chosen mode's values, of [..., modes, ..., M] with the modes at a dimension."""
    index = mode.view(*(1,) * (values.dim() - 1), -1)
    shape = list(values.shape)
    shape[dimension] = 1
    return values.gather(dimension, index.expand(shape)).squeeze(dimension)
