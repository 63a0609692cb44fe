"""VP8's coding of macroblocks, as libwebp goes about it: each depends on those above and to the left.

A wave holds what can be coded at once: a macroblock of each row, two columns behind the row above, in all images. The
tokens' costs change after some hundred macroblocks, as libwebp's do, so waves stay within such a stretch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from train.webp.analysis import SEGMENTS, Segments
from train.webp.blocks import spectrum
from train.webp.chroma import choose_chroma
from train.webp.grid import Grid, lay_out, waves
from train.webp.memory import Blocks, Memory, flat
from train.webp.modes import SMALL_COST, Costs, Large, Source, choose_large, choose_small
from train.webp.rates import learn, places_of, token_costs
from train.webp.settings import Settings, settings
from train.webp.tables import PROBABILITIES

FEWEST = 96  # macroblocks between changes of the costs
# a macroblock's blocks, row and column, that can be coded at once: each needs those above and to the left
STEPS = tuple(tuple((y, turn - 2 * y) for y in range(4) if 0 <= turn - 2 * y < 4) for turn in range(10))


class Coded(NamedTuple):
    """Pictures after decoding, all but for the loop filter."""

    luma: Tensor  # a plane of `Grid`
    chroma: Tensor  # two planes, one after the other
    inner: Tensor  # bool [macroblocks, N]: also filtered within
    blockiness: Tensor  # [SEGMENTS, N], the largest step between flat blocks, in steps of their means


class Coder:
    """Codes a batch of pictures.

    Args:
        luma, chroma: the source's planes, as `Coded` has them.
        grid: of the luma plane.
        segments: of the pictures.
        diffuse: whether colours' rounding errors move on to the next blocks.
    """

    def __init__(self, luma: Tensor, chroma: Tensor, grid: Grid, segments: Segments, *, diffuse: bool) -> None:
        self.grid, self.segments, self.diffuse = grid, segments, diffuse
        self.images, self.device = luma.shape[1], luma.device
        self.size = grid.rows * grid.columns
        self.layout = lay_out(grid, self.device)
        self.settings = settings(segments)
        self.memory = Memory(self.size, self.images, self.device)
        self.source = luma[self.layout.pixels]  # [16, 16 blocks, macroblocks, N]
        self.spectrum = spectrum(self.source)
        self.chroma_source = chroma[self.layout.chroma_pixels]  # [16, 4 blocks, 2, macroblocks, N]
        self.luma = grid.plane(self.images, self.device)
        self.chroma = grid._replace(side=8).plane(self.images, self.device).repeat(2, 1)
        self.places = places_of(self.images, min(grid.rows, grid.columns), self.device)
        costs = token_costs(PROBABILITIES.to(self.device)[None])
        self.costs = costs.expand(self.images, -1, -1, -1, -1).flatten()

    def code(self) -> Coded:
        """Code all macroblocks."""
        stretch = max(FEWEST, self.size // 8)
        ends = [*range(stretch, self.size, stretch + 1), self.size]
        counts = torch.zeros((), dtype=torch.int64, device=self.device)
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            if start:
                self.costs = token_costs(learn(counts)).flatten()
            for wave in waves(self.grid, start, end):
                self._code(wave.to(self.device))
            if end < self.size:
                counts = counts + self.memory.events(start, end)
        highest = torch.zeros(SEGMENTS, self.images, device=self.device)
        highest.scatter_reduce_(0, self.segments.of, self.memory.blockiness[: self.size], "amax")
        inner = self.memory.is_filled() | (self.memory.is_large[: self.size] == 0)
        return Coded(self.luma, self.chroma, inner, highest)

    def _code(self, wave: Tensor) -> None:
        """Code some macroblocks that don't depend on each other."""
        chosen = self.settings.select(wave)
        costs = Costs(self.costs, self.places[..., : len(wave) * self.images])
        around = self.layout.above[wave], self.layout.before[wave]
        source = Source(flat(self.source, wave), flat(self.spectrum, wave))
        large = self._code_large(wave, around, source, chosen, costs)
        blocks = self._code_small(wave, around, source, chosen, costs)
        decoded = torch.where(blocks.score < large.score, blocks.decoded, large.decoded)
        self._write(self.luma, self.layout.pixels.index_select(2, wave), decoded)
        self.memory.keep(wave, large, blocks, around)
        self._code_chroma(wave, around, chosen, costs)

    def _code_large(
        self, wave: Tensor, around: tuple[Tensor, Tensor], source: Source, chosen: Settings, costs: Costs
    ) -> Large:
        edges = self.luma.index_select(0, self.layout.around.index_select(1, wave).flatten()).view(33, -1)
        context = self.memory.near_means(*around)
        return choose_large(source, (edges, *self._has(wave)), self.memory.near(*around), context, costs, chosen)

    def _code_small(
        self, wave: Tensor, around: tuple[Tensor, Tensor], source: Source, chosen: Settings, costs: Costs
    ) -> Blocks:
        """Code macroblocks' blocks on their own, two at once where they don't depend on each other."""
        near, modes_near = self.memory.near(*around), self.memory.near_modes(*around)
        filled = {(-1, x): near.top[x] for x in range(4)} | {(y, -1): near.left[y] for y in range(4)}
        modes = {(-1, x): modes_near.top[x] for x in range(4)} | {(y, -1): modes_near.left[y] for y in range(4)}
        edges, places = (each.index_select(2, wave) for each in (self.layout.around_blocks, self.layout.pixels))
        single = chosen, costs
        double = chosen.twice(), Costs(costs.table, torch.cat([costs.places] * 2, dim=-1))
        coded: dict[int, tuple[Tensor, ...]] = {}
        for step in STEPS:
            numbers = [4 * y + x for y, x in step]
            context = torch.cat([filled[y - 1, x] + filled[y, x - 1] for y, x in step])
            beside = torch.cat([modes[y - 1, x] for y, x in step]), torch.cat([modes[y, x - 1] for y, x in step])
            part = Source(source.pixels[:, numbers].flatten(1), source.spectrum[numbers].flatten())
            edge = self.luma.index_select(0, edges[numbers].transpose(0, 1).flatten()).view(13, -1)
            chosen_, costs_ = double if len(step) == 2 else single
            block = choose_small(part, edge, context, beside, costs_, chosen_)
            self._write(self.luma, places[:, numbers], block.decoded)
            results = (*block, context, block.levels.amax(0).clamp(max=1))
            for number, place, *each in zip(
                numbers, step, *(result.chunk(len(step), dim=-1) for result in results), strict=True
            ):
                coded[number] = tuple(each)
                modes[place], filled[place] = each[1], each[-1]
        score, *rest = zip(*(coded[number][:-1] for number in range(16)), strict=True)
        total = torch.stack(score).sum(0) + chosen.mode_bits * SMALL_COST
        return Blocks(total, *(torch.stack(each, dim=-2) for each in rest))

    def _code_chroma(self, wave: Tensor, around: tuple[Tensor, Tensor], chosen: Settings, costs: Costs) -> None:
        places = self.layout.chroma_around.index_select(2, wave)
        edges = self.chroma.index_select(0, places.flatten()).view(17, -1)
        has_top, has_left = (each.repeat(2) for each in self._has(wave))
        near, errors = self.memory.near_chroma(*around)
        source = flat(self.chroma_source, wave).flatten(2)
        errors_used = errors if self.diffuse else None
        chroma = choose_chroma(source, (edges, has_top, has_left), near, errors_used, costs, chosen)
        self._write(self.chroma, self.layout.chroma_pixels.index_select(3, wave), chroma.decoded)
        self.memory.keep_chroma(wave, chroma)

    def _has(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """Tell which macroblocks have one above and one to the left, two [M]."""
        top, left = (each[wave].repeat_interleave(self.images) for each in (self.layout.has_top, self.layout.has_left))
        return top, left

    def _write(self, plane: Tensor, places: Tensor, values: Tensor) -> None:
        plane.index_copy_(0, places.flatten(), values.reshape(-1, self.images))
