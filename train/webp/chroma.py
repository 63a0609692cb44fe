"""How libwebp chooses the prediction of macroblocks' colour, and spreads rounding errors over it.

Follows libwebp's quant_enc.c; see `vp8_modes`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from train.webp.blocks import Quantiser, forward, inverse, predict_large
from train.webp.modes import DISTORTION, FLAT_COST, Costs, Neighbours, count_filled, pick, zigzag
from train.webp.rates import CHROMA, blocks_cost
from train.webp.settings import Settings

MODE_COSTS = torch.tensor((302.0, 984.0, 439.0, 642.0))
FLAT = 2  # levels besides DC in eight blocks, up to which all modes but the first are dearer


class Chroma(NamedTuple):
    """Macroblocks' colour; M is also times two planes, first the one, then the other."""

    decoded: Tensor  # [16, 4 blocks, M]
    levels: Tensor  # [16, 4 blocks, M]
    contexts: Tensor  # [4 blocks, M]
    errors: Tensor  # [3, M], of the last three blocks' DC, halved


def choose_chroma(
    source: Tensor,
    edges: tuple[Tensor, Tensor, Tensor],
    near: Neighbours,
    errors: Neighbours | None,
    costs: Costs,
    settings: Settings,
) -> Chroma:
    """Choose the best of four modes for the colour [16, 4 blocks, 2 · M], both planes the same.

    Args:
        edges, near: as in `choose_large`.
        errors: of the neighbours' DC, halved, which are made up for; None at the highest qualities.
        costs, settings: for M.
    """
    size = len(settings.chroma_bits)
    prediction = predict_large(*edges)
    coefficients = forward(source[:, None] - prediction)
    quantiser = Quantiser(*(each.repeat(1, 2) for each in settings.chroma))
    left_over = coefficients[0, :, 1:]
    if errors is not None:
        left_over = _diffuse(coefficients[0], errors, Quantiser(*(each[:1] for each in quantiser)))
    levels, dequantised = quantiser(coefficients)
    decoded = inverse(dequantised, prediction)
    levels = zigzag(levels)
    contexts = count_filled(levels.amax(0) > 0, near)
    places = costs.places[CHROMA][:, None, None].repeat(1, 1, 1, 2)
    rate = blocks_cost(levels, contexts, costs.table, places).sum(1).view(4, 2, size).sum(1)
    rate += MODE_COSTS.to(rate.device)[:, None]
    flat = (levels[1:] > 0).sum((0, 2)).view(4, 2, size).sum(1) <= FLAT
    rate[1:] += 8 * FLAT_COST * flat[1:]
    squares = (decoded - source[:, None]).square_().sum((0, 2)).view(4, 2, size).sum(1)
    best = (rate.double() * settings.chroma_bits + DISTORTION * squares.double()).argmin(0).repeat(2)
    return Chroma(pick(decoded, best), pick(levels, best), pick(contexts, best, 0), pick(left_over, best, 0))


def _diffuse(dc: Tensor, errors: Neighbours, quantiser: Quantiser) -> Tensor:
    """Move each DC's quantisation error on to the next ones, in place; return the last three, [modes, 3, M]."""

    def quantised(block: int, above: Tensor, before: Tensor) -> Tensor:
        corrected = dc[:, block] + torch.floor((7 * above + 8 * before) / 8)
        dc[:, block] = quantiser(corrected[None])[1][0]
        return torch.floor((corrected - dc[:, block]) / 2)

    first = quantised(0, errors.top[0], errors.left[0])
    second = quantised(1, errors.top[1], first)
    third = quantised(2, first, errors.left[1])
    return torch.stack([second, third, quantised(3, second, third)], dim=1)
