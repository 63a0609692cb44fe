"""What libwebp takes VP8's tokens to cost, in 1/256 bit, and how it learns their probabilities while it goes.

Follows RFC 6386, 13, and libwebp's cost_enc.c, token_enc.c and frame_enc.c.
"""

from __future__ import annotations

import torch
from torch import Tensor

from train.webp.tables import (
    BANDS,
    BIT_COSTS,
    BRANCHES,
    CONTEXTS,
    GROUPS,
    MODE_PROBABILITIES,
    PROBABILITIES,
    TYPES,
    UPDATES,
)

AFTER_DC, MEANS, CHROMA, WHOLE = range(TYPES)  # kinds of blocks
# the branches, and which way, to each class of levels: 0, 1, 2, 3, 4, 5–6, 7–10, 11–18, 19–34, 35–66 and above
PATHS: tuple[dict[int, int], ...] = (
    {1: 0},
    {1: 1, 2: 0},
    {1: 1, 2: 1, 3: 0, 4: 0},
    {1: 1, 2: 1, 3: 0, 4: 1, 5: 0},
    {1: 1, 2: 1, 3: 0, 4: 1, 5: 1},
    {1: 1, 2: 1, 3: 1, 6: 0, 7: 0},
    {1: 1, 2: 1, 3: 1, 6: 0, 7: 1},
    {1: 1, 2: 1, 3: 1, 6: 1, 8: 0, 9: 0},
    {1: 1, 2: 1, 3: 1, 6: 1, 8: 0, 9: 1},
    {1: 1, 2: 1, 3: 1, 6: 1, 8: 1, 10: 0},
    {1: 1, 2: 1, 3: 1, 6: 1, 8: 1, 10: 1},
)
MISCOUNTED = {10: 9}  # the branch that libwebp counts in place of another
STARTS = torch.tensor((0, 1, 2, 3, 4, 5, 7, 11, 19, 35, 67))  # of the classes
EXTRA_BITS = {  # the probabilities of what follows within a class: first level, then bits from the highest
    11: (173, 148, 140),
    19: (176, 155, 140, 135),
    35: (180, 157, 141, 134, 130),
    67: (254, 254, 243, 230, 196, 177, 153, 140, 133, 130, 129),
}
CLASSES = len(PATHS)
LARGEST = 67  # from here on, a level's cost depends on its extra bits alone
END, NOTHING = LARGEST + 1, LARGEST + 2  # symbols beside the levels: the block's end, and what lies behind
SYMBOLS = LARGEST + 3
EVENTS = 2 * CLASSES + 2  # classes, classes where the block could have ended, its end, nothing
MEANINGFUL = 8 * 256  # what a changed probability costs


def _bit(bit: int, probability: int) -> int:
    return int(BIT_COSTS[255 - probability if bit else probability])


def _extra(level: int) -> int:
    """Return the cost of a level's sign and extra bits."""
    if level < STARTS[5]:
        return 256 * (level > 0)
    if level < STARTS[6]:
        return 256 + _bit(level == 6, 159)
    if level < STARTS[7]:  # 9 and 10 are cheaper in libwebp than they are
        return 640 if level >= 9 else 256 + _bit(0, 165) + _bit(level == 8, 145)
    start = max(start for start in EXTRA_BITS if start <= level)
    bits = EXTRA_BITS[start]
    digits = f"{level - start:0{len(bits)}b}"
    return 256 + sum(_bit(int(digit), probability) for digit, probability in zip(digits, bits, strict=True))


def _paths(miscounted: dict[int, int]) -> Tensor:
    """Return which branches a class takes, and which way: [classes, branches, 2]."""
    taken = torch.zeros(CLASSES, BRANCHES, 2)
    for number, path in enumerate(PATHS):
        for branch, way in path.items():
            taken[number, miscounted.get(branch, branch), way] = 1
    return taken


def _events() -> Tensor:
    """Return the branches that each event takes, [events, branches, 2]."""
    plain = _paths(MISCOUNTED)
    going_on, end = torch.zeros(2, BRANCHES, 2)
    going_on[0, 1] = end[0, 0] = 1
    return torch.cat([plain, plain + going_on, end[None], torch.zeros(1, BRANCHES, 2)])


def _mode_costs() -> Tensor:
    """Return the cost of each mode by the modes above and to the left: [100, 10]."""
    paths = ("0", "10", "110", "11100", "111010", "111011", "11110", "111110", "1111110", "1111111")
    branches = ((), (), (), (3, 4), (3, 4, 5), (3, 4, 5), (3, 6), (3, 6, 7), (3, 6, 7, 8), (3, 6, 7, 8))
    costs = bit_costs(MODE_PROBABILITIES.flatten(0, 1))
    modes = []
    for path, later in zip(paths, branches, strict=True):
        places = (*range(min(len(path), 3)), *later)
        modes.append(sum(costs[:, place, int(way)] for place, way in zip(places, path, strict=True)))
    return torch.stack([torch.as_tensor(mode) for mode in modes], dim=1)


def bit_costs(probabilities: Tensor) -> Tensor:
    """Return the costs of a 0 and of a 1, [..., 2]."""
    table = BIT_COSTS.to(probabilities.device)
    return torch.stack([table[probabilities], table[255 - probabilities]], dim=-1).float()


LEVEL_CLASS = torch.bucketize(torch.arange(LARGEST + 1), STARTS, right=True) - 1
EXTRA = torch.tensor([_extra(level) for level in range(2048)]).float()
TAKEN = _paths({})
EVENT_BRANCHES = _events()
MODE_COSTS = _mode_costs()


def token_costs(probabilities: Tensor) -> Tensor:
    """Return the costs of symbols by block and place, [N, types, 16, contexts, symbols].

    Args:
        probabilities: int64 [N, types, bands, contexts, branches].
    """
    device = probabilities.device
    bits = bit_costs(probabilities)
    levels = torch.einsum("...pk,spk->...s", bits, TAKEN.to(device))[..., LEVEL_CLASS] + EXTRA[:END].to(device)
    levels, ending = levels[:, :, BANDS], bits[:, :, BANDS, :, 0, :1]
    may_end = torch.ones(TYPES, len(BANDS), CONTEXTS, 1, device=device)
    may_end[:, 2:, 0] = may_end[1:, 1, 0] = 0  # a block never ends after a zero
    levels = levels + may_end * bits[:, :, BANDS, :, 0, 1:]
    return torch.cat([levels, ending, torch.zeros_like(ending)], dim=-1)


def blocks_cost(magnitudes: Tensor, context: Tensor, costs: Tensor, base: Tensor) -> Tensor:
    """Add up the cost of blocks.

    Args:
        magnitudes: [P, …, M], levels without sign in zigzag order, from the first place that the blocks code.
        context: […, M], how many of the blocks above and to the left aren't empty.
        costs: of `token_costs`, flat.
        base: [P, 1, …, M], where each place's costs begin.

    Returns:
        […, M]
    """
    shape = (-1, *(1,) * (magnitudes.dim() - 1))
    place = torch.arange(1.0, len(magnitudes) + 1, device=magnitudes.device).view(shape)
    last = ((magnitudes > 0) * place).amax(0)
    before = torch.cat([context.expand(magnitudes.shape[1:])[None], magnitudes[:-1].clamp(max=2)])
    symbols = torch.where(place <= last, magnitudes.clamp(max=LARGEST), NOTHING - (place == last + 1).float())
    total = costs.take(before.mul_(SYMBOLS).add_(symbols).add_(base).long()).sum(0)
    if magnitudes.max() > LARGEST:
        extra = EXTRA.to(magnitudes.device)
        total = total + (extra[magnitudes.long()] - extra[LARGEST]).clamp(min=0).mul_(magnitudes > LARGEST).sum(0)
    return total


def count_events(magnitudes: Tensor, context: Tensor, kind: int, counted: Tensor) -> Tensor:
    """Count the events in coding each image's blocks: [N · types · bands · contexts · events].

    Args:
        magnitudes: as in `blocks_cost`, [P, …, N].
        context: as in `blocks_cost`, […, N].
        kind: of the blocks.
        counted: bool, which blocks to count, […, N] or fewer axes.
    """
    device, places, images = magnitudes.device, len(magnitudes), magnitudes.shape[-1]
    place = torch.arange(1, places + 1, device=device).view(-1, *(1,) * (magnitudes.dim() - 1))
    last = ((magnitudes > 0) * place).amax(0)
    before = torch.cat([context[None], magnitudes[:-1].clamp(max=2)]).long()
    classes = LEVEL_CLASS.to(device)[magnitudes.clamp(max=LARGEST).long()]
    classes = classes + CLASSES * ((before > 0) | (place == 1))
    events = torch.where(place <= last, classes, EVENTS - 1 - (place == last + 1).long())
    bands = BANDS.to(device)[len(BANDS) - places :].view(place.shape)
    image = torch.arange(images, device=device)
    index = (((image * TYPES + kind) * GROUPS + bands) * CONTEXTS + before) * EVENTS + events
    size = images * TYPES * GROUPS * CONTEXTS * EVENTS
    return torch.bincount(index[counted.expand(index.shape)], minlength=size)


def learn(counts: Tensor) -> Tensor:
    """Choose the probabilities [N, types, bands, contexts, branches] that suit what has been counted of events."""
    device = counts.device
    table = counts.view(-1, TYPES, GROUPS, CONTEXTS, EVENTS).double()
    zeros, ones = torch.einsum("...e,epk->k...p", table, EVENT_BRANCHES.to(table)).round().long()
    fitting = torch.where(ones > 0, 255 - ones * 255 // (zeros + ones).clamp(min=1), 255)
    default, updates = PROBABILITIES.to(device), bit_costs(UPDATES.to(device))

    def price(probabilities: Tensor) -> Tensor:
        of_zero, of_one = bit_costs(probabilities).double().unbind(-1)
        return torch.addcmul(zeros * of_zero, ones, of_one)

    pays = price(default) + updates[..., 0] > price(fitting) + updates[..., 1] + MEANINGFUL
    return torch.where(pays, fitting, default)


def places_of(images: int, macroblocks: int, device: torch.device) -> Tensor:
    """Return where in the costs of `token_costs`, flat, each place of each kind begins: [types, 16, K · N]."""
    number = torch.arange(images * TYPES * len(BANDS), device=device).view(images, TYPES, len(BANDS))
    return (number * CONTEXTS * SYMBOLS).permute(1, 2, 0).float().repeat(1, 1, macroblocks)
