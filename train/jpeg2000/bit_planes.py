"""JPEG 2000's code-blocks: how many passes over their bit-planes a file has room for, and what is left of them.

Follows ISO/IEC 15444-1, annex D, and OpenJPEG's rate control (tcd.c), which cuts each code-block after the passes that
pay. Only the bytes of a pass are estimated: by what an adaptive code takes for it, context by context.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from train.jpeg2000.contexts import CONTEXT_OF, CONTEXTS, LOWEST, neighbours, propagate

SIDE = 64  # of a code-block, at most
SLACK = 1.5  # times the budget after which passes are not looked at any more
BISECTIONS = 25
KINDS = 3  # of passes over a plane: significance propagation, magnitude refinement, cleanup


class Blocks(NamedTuple):
    """The code-blocks of a level's bands, which have one shape but for a pixel."""

    magnitudes: Tensor  # float [N, B, h, w], whole numbers
    inside: Tensor  # float [B, h, w]: 1 in the band, 0 where a block reaches over its edge
    norms: Tensor  # float [B], of the bands' synthesis
    kinds: Tensor  # int64 [B]: 0, 1, 2 for HL, LH (and LL), HH

    @property
    def planes(self) -> int:
        """The number of bits of the largest magnitude."""
        return int(self.magnitudes.max()).bit_length() if self.magnitudes.numel() else 0


def split(bands: list[Tensor], norms: list[float]) -> Blocks:
    """Cut bands [N, C, h, w], HL, LH and HH or LL alone, into code-blocks, band after band."""
    height, width = (max(1, *(min(SIDE, band.shape[axis]) for band in bands)) for axis in (-2, -1))
    tiles = [_tiles(band.abs(), height, width) for band in bands]
    inside = [_tiles(torch.ones_like(band[:1]), height, width)[0] for band in bands]
    counted = [tile.new_full((tile.shape[1],), norm) for tile, norm in zip(tiles, norms, strict=True)]
    first = 0 if len(bands) > 1 else LOWEST
    kinds = [torch.full_like(norm, kind, dtype=torch.int64) for kind, norm in enumerate(counted, first)]
    return Blocks(torch.cat(tiles, dim=1), torch.cat(inside), torch.cat(counted), torch.cat(kinds))


def _tiles(band: Tensor, height: int, width: int) -> Tensor:
    padded = F.pad(band, (0, -band.shape[-1] % width, 0, -band.shape[-2] % height))
    rows, columns = padded.shape[-2] // height, padded.shape[-1] // width
    grid = padded.reshape(*band.shape[:2], rows, height, columns, width).transpose(3, 4)
    return grid.reshape(len(band), band.shape[1] * rows * columns, height, width)


def join(tiles: Tensor, bands: list[Tensor]) -> list[Tensor]:
    """Put code-blocks together in the shapes of their bands."""
    joined = []
    height, width = tiles.shape[-2:]
    for band in bands:
        count, colours, *sides = band.shape
        rows, columns = (math.ceil(length / side) for length, side in zip(sides, (height, width), strict=True))
        own, tiles = tiles.tensor_split([colours * rows * columns], dim=1)
        grid = own.reshape(count, colours, rows, columns, height, width).transpose(3, 4)
        joined.append(grid.reshape(count, colours, rows * height, columns * width)[..., : sides[0], : sides[1]])
    return joined


def allocate(levels: list[Blocks], budget: float) -> list[Tensor]:
    """Find the passes of each code-block, int64 [N, B] a level, that make the best of so many bytes an image."""
    coders = [Coder(blocks) for blocks in levels]
    order = sorted(
        (-float(coder.blocks.norms.max()) * 2**plane, number, plane)
        for number, coder in enumerate(coders)
        for plane in range(coder.blocks.planes)
    )
    for _, number, plane in order:
        coders[number].code(plane)
        if bool((torch.stack([coder.spent.sum(1) for coder in coders]).sum(0) > SLACK * budget).all()):
            break
    count = max(len(coder.sizes) for coder in coders)
    size, gain = (torch.cat(each, dim=1) for each in zip(*(coder.curve(count) for coder in coders), strict=True))
    lowest, highest = (size.new_full((len(size),), power) for power in (-10.0, 40.0))  # of the slope, powers of two
    for _ in range(BISECTIONS):
        middle = (lowest + highest) / 2
        fits = _cut(size, gain, 2**middle)[1].sum(1) <= budget
        lowest, highest = torch.where(fits, lowest, middle), torch.where(fits, middle, highest)
    kept = _cut(size, gain, 2**highest)[0]
    return list(kept.split_with_sizes([blocks.magnitudes.shape[1] for blocks in levels], dim=1))


def _cut(size: Tensor, gain: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """Cut each block after the last pass that gains `slope` [N] a byte over the one before; return passes and bytes."""
    kept = size.new_zeros(size.shape[:2], dtype=torch.int64)
    spent, gained = torch.zeros_like(size[..., 0]), torch.zeros_like(size[..., 0])
    for number in range(size.shape[-1]):
        more, better = size[..., number] - spent, gain[..., number] - gained
        pays = (better > 0) & (better >= slope[:, None] * more)
        kept = torch.where(pays, number + 1, kept)
        spent, gained = (torch.where(pays, new[..., number], old) for new, old in ((size, spent), (gain, gained)))
    return kept, spent


class Coder:
    """Code the planes of code-blocks in turn, to see what each pass costs and how much squared error it takes away."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks
        self.significant = torch.zeros_like(blocks.magnitudes)
        self.error = blocks.magnitudes.square()
        self.spent = blocks.magnitudes.new_zeros(blocks.magnitudes.shape[:2], dtype=torch.float64)  # bytes
        self.gained = torch.zeros_like(self.spent)
        self.sizes: list[Tensor] = []
        self.gains: list[Tensor] = []

    def code(self, plane: int) -> None:
        """Take the three passes over a plane; planes come from the highest down."""
        magnitudes, blank = self.blocks.magnitudes, self.blocks.inside - self.significant
        large = (magnitudes >= 2.0**plane).to(magnitudes)
        new = _middle(torch.ones_like(magnitudes[0, :1, :1, :1]), plane)
        found, near = propagate(self.significant, large, blank)
        reached = blank * (near > 0)
        self._pass(self._significance(reached, found, near) + _sum(found), found, new)
        digits = torch.floor(magnitudes / 2.0**plane)
        fresh = self.significant * (digits < 4)
        bits = [_adaptive(_sum(group * (digits % 2)), _sum(group)) for group in (fresh, self.significant - fresh)]
        self._pass(sum(bits[1:], bits[0]), self.significant, _middle(digits, plane))
        rest = blank - reached
        last = rest * large
        self.significant = self.significant + found
        near = neighbours(self.significant, last)
        self._pass(self._significance(rest, last, near) + _sum(last), last, new)
        self.significant = self.significant + last

    def _significance(self, visited: Tensor, found: Tensor, near: Tensor) -> Tensor:
        """Estimate the bits that tell which of the places visited are significant."""
        count, blocks = visited.shape[:2]
        contexts = CONTEXT_OF.to(visited.device)[self.blocks.kinds[:, None, None], near.long()]
        first = torch.arange(count * blocks, device=visited.device).view(count, blocks, 1, 1) * CONTEXTS
        ones, places = (
            torch.bincount((first + contexts)[chosen > 0], minlength=count * blocks * CONTEXTS)
            for chosen in (found, visited)
        )
        return _adaptive(ones, places).view(count, blocks, CONTEXTS).sum(-1)

    def _pass(self, bits: Tensor, changed: Tensor, decoded: Tensor) -> None:
        after = torch.where(changed > 0, (self.blocks.magnitudes - decoded).square(), self.error)
        self.spent = self.spent + bits / 8
        self.gained = self.gained + _sum(self.error - after) * self.blocks.norms**2
        self.error = after
        self.sizes.append(self.spent)
        self.gains.append(self.gained)

    def curve(self, count: int) -> tuple[Tensor, Tensor]:
        """Return bytes and gains after each of so many passes, float64 [N, B, count] each; the last repeat."""
        missing = count - len(self.sizes)
        sizes, gains = self.sizes + missing * [self.spent], self.gains + missing * [self.gained]
        if not sizes:
            return (self.spent[..., None].expand(-1, -1, count),) * 2
        return torch.stack(sizes, dim=-1), torch.stack(gains, dim=-1)


def truncate(blocks: Blocks, kept: Tensor) -> Tensor:
    """Return the magnitudes that a decoder makes of each block's first passes; middles of what they may have been."""
    magnitudes = blocks.magnitudes
    whole = kept[..., None, None] // KINDS
    part = kept[..., None, None] % KINDS
    plane = blocks.planes - whole
    step = 2.0**plane
    significant = (magnitudes >= step).to(magnitudes)
    decoded = _middle(torch.floor(magnitudes / step), plane) * significant
    large = (magnitudes >= step / 2).to(magnitudes)
    found, _ = propagate(significant, large, 1 - significant)
    below = plane - 1
    decoded = torch.where((part >= 1) & (found > 0), _middle(torch.ones_like(decoded), below), decoded)
    refined = _middle(torch.floor(2 * magnitudes / step), below)
    return torch.where((part >= 2) & (significant > 0), refined, decoded)


def _middle(digits: Tensor, plane: Tensor | int) -> Tensor:
    """Return the middle of what begins with these digits down to a plane; plane 0 leaves nothing open."""
    return (digits + 0.5 * (plane > 0)) * 2.0**plane


def _adaptive(ones: Tensor, places: Tensor) -> Tensor:
    """Return the bits of so many ones among so many places, by an adaptive code (Krichevsky and Trofimov, 1981)."""
    product = torch.lgamma(ones + 0.5) + torch.lgamma(places - ones + 0.5) - torch.lgamma(places + 1.0)
    return (math.log(math.pi) - product) / math.log(2)


def _sum(x: Tensor) -> Tensor:
    return x.sum((-2, -1))
