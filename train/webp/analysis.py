"""How libwebp shares out a picture's bits: up to four segments of macroblocks, each with a quantiser and a filter.

Follows libwebp's analysis_enc.c and quant_enc.c with its default settings.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import torch
from torch import Tensor

from train.webp.blocks import forward, predict_large
from train.webp.grid import Grid
from train.webp.tables import AC_STEPS

SEGMENTS = 4
BINS = 32  # of a histogram of coefficients
EASIEST = 255  # the highest susceptibility
ROUNDS = 6  # of k-means, at most
STRENGTH = 50  # of the spatial noise shaping, in hundredths
FILTER = 60  # strength, in hundredths
FILTER_MOST = 63
TRIED_MODES = 2


class Segments(NamedTuple):
    """The segments of a batch of pictures."""

    of: Tensor  # int64 [macroblocks, N]
    quantisers: Tensor  # int64 [SEGMENTS, N], 0 to 127; what isn't used repeats another
    filters: Tensor  # int64 [SEGMENTS, N], before the filter is adjusted to what coding did
    chroma: Tensor  # int64 [N], what is added to a quantiser for colour


def analyse(luma: Tensor, chroma: Tensor, grid: Grid, quality: int) -> Segments:
    """Choose segments and their quantisers.

    Args:
        luma: the source's plane, see `Grid`.
        chroma: its two colour planes, one after the other.
        grid: of the luma plane.
        quality: as Pillow takes it.
    """
    small = grid._replace(side=8)
    size = grid.rows * grid.columns
    images = luma.shape[1]
    brightness = _susceptibility(luma, grid)
    offset = torch.tensor([[0], [small.size]])
    colour = _susceptibility(chroma, small, offset)
    mixed = (EASIEST - ((3 * brightness + colour + 2) >> 2)).clamp(0, EASIEST)
    chosen = [_share(mixed[:, image].tolist(), quality) for image in range(images)]
    of, quantisers, filters = (torch.tensor(each).T for each in zip(*chosen, strict=True))
    mean = (colour.sum(0) // size).tolist()
    shift = torch.tensor([max(-4, min(6, int(int((alpha - 64) * 10 / 70) * STRENGTH / 100))) for alpha in mean])
    return Segments(*(each.to(luma.device) for each in (of, quantisers, filters, shift)))


def _susceptibility(plane: Tensor, grid: Grid, offset: Tensor | None = None) -> Tensor:
    """Measure how well macroblocks compress, int64 [macroblocks, N], in planes that begin at `offset`."""
    images, device = plane.shape[1], plane.device
    offset = torch.zeros(1, 1, dtype=torch.int64) if offset is None else offset

    def look_up(places: Tensor) -> Tensor:
        """Return the pixels [places, planes · macroblocks · N]."""
        index = (places[:, None] + offset).to(device)
        return plane.index_select(0, index.flatten()).view(len(places), -1)

    around = look_up(grid.around())
    pixels = grid.pixels()
    source = look_up(pixels.flatten(0, 1)).view(16, 1, pixels.shape[1], -1)
    top, left = (
        each.to(device).repeat(len(offset))[:, None].expand(-1, images).flatten() for each in grid.has_neighbours()
    )
    difference = source - predict_large(around, top, left)[:, :TRIED_MODES]
    bins = torch.floor(forward(difference).abs() / 8).clamp(max=BINS - 1).long()
    # [coefficients, modes, blocks, planes, macroblocks · N] to [modes · macroblocks · N, all coefficients]
    bins = bins.view(16, TRIED_MODES, -1, len(offset), grid.rows * grid.columns * images)
    bins = bins.permute(1, 4, 0, 2, 3).flatten(0, 1).flatten(1)
    counts = torch.zeros(len(bins), BINS, dtype=torch.int64, device=device).scatter_add_(1, bins, torch.ones_like(bins))
    widest = torch.where(counts > 0, torch.arange(BINS, device=device), 0).amax(1)
    alphas = 2 * EASIEST * widest // counts.amax(1)
    return alphas.view(TRIED_MODES, -1, images).amax(0)


def _share(alphas: list[int], quality: int) -> tuple[list[int], list[int], list[int]]:
    """Return the segments of a picture's macroblocks, and the segments' quantisers and filters."""
    centres, nearest, middle = _cluster(Counter(alphas))
    span = max(max(centres) - min(centres), 1)
    settings = []
    for centre in centres:
        alpha = max(-127, min(127, int(255 * (centre - middle) / span)))
        beta = max(0, min(255, int(255 * (centre - min(centres)) / span)))
        quantiser = _quantiser(quality, alpha)
        strength = min(int(AC_STEPS[quantiser]) >> 2, FILTER_MOST) * 5 * FILTER // (256 + beta)
        settings.append((quantiser, 0 if strength < 2 else min(strength, FILTER_MOST)))
    distinct = list(dict.fromkeys(settings))
    of = [distinct.index(settings[nearest[alpha]]) for alpha in alphas]
    if _is_lonely(Counter(of)):
        of = [0] * len(of)
    padded = distinct + [distinct[-1]] * (SEGMENTS - len(distinct))
    return of, [quantiser for quantiser, _ in padded], [strength for _, strength in padded]


def _is_lonely(counts: Counter[int]) -> bool:
    """Tell whether libwebp drops the map of segments: where none but the first has a probability worth coding."""
    pairs = ((counts[0] + counts[1], counts[2] + counts[3]), (counts[0], counts[1]), (counts[2], counts[3]))
    return all((first + second) // 2 >= EASIEST * second for first, second in pairs)


def _cluster(counts: Counter[int]) -> tuple[list[int], dict[int, int], int]:
    """Find the centres of the clusters, each value's cluster and the centres' weighted mean."""
    lowest, width = min(counts), max(counts) - min(counts)
    centres = [lowest + (2 * number + 1) * width // (2 * SEGMENTS) for number in range(SEGMENTS)]
    nearest: dict[int, int] = {}
    middle = 0
    for _ in range(ROUNDS):
        number = 0
        for value in sorted(counts):
            while number + 1 < SEGMENTS and abs(value - centres[number + 1]) < abs(value - centres[number]):
                number += 1
            nearest[value] = number
        moved = total = 0
        for number in range(SEGMENTS):
            members = {value: count for value, count in counts.items() if nearest[value] == number}
            weight = sum(members.values())
            if weight:
                centre = (sum(value * count for value, count in members.items()) + weight // 2) // weight
                moved += abs(centre - centres[number])
                centres[number] = centre
                total += centre * weight
        middle = (total + counts.total() // 2) // counts.total()
        if moved < 5:
            break
    return centres, nearest, middle


def _quantiser(quality: int, alpha: int) -> int:
    """Return the quantiser of macroblocks with a susceptibility relative to the others'."""
    share = quality / 100
    compression = (share * (2 / 3) if share < 0.75 else 2 * share - 1) ** (1 / 3)
    exponent = 1 - 0.9 * STRENGTH / 100 / 128 * alpha
    return max(0, min(127, int(127 * (1 - compression**exponent))))
