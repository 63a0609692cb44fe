"""What coding a macroblock leaves behind for those after it: levels, modes and errors."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from train.webp.chroma import Chroma
from train.webp.modes import Large, Neighbours
from train.webp.rates import AFTER_DC, CHROMA, MEANS, WHOLE, count_events

BOTTOM, RIGHT = slice(12, 16), slice(3, 16, 4)  # of a macroblock's blocks
CHROMA_BOTTOM, CHROMA_RIGHT = slice(2, 4), slice(1, 4, 2)


class Blocks(NamedTuple):
    """Macroblocks whose blocks are each predicted on their own, as `Large`."""

    score: Tensor
    modes: Tensor  # [16 blocks, M]
    decoded: Tensor
    levels: Tensor
    contexts: Tensor


class Memory:
    """Keeps macroblocks' results, each [..., macroblocks + 1, N]; the last is what lies outside of the picture."""

    def __init__(self, macroblocks: int, images: int, device: torch.device) -> None:
        self.size, self.images, self.device = macroblocks, images, device

        def empty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(*shape, macroblocks + 1, images, dtype=dtype, device=device)

        self.levels, self.contexts, self.modes = empty(16, 16), empty(16), empty(16, dtype=torch.int64)
        self.means, self.means_contexts = empty(16), empty()
        self.means_below, self.means_right = empty(), empty()  # whether the last macroblock as one had means
        self.chroma_levels, self.chroma_contexts = empty(16, 4, 2), empty(4, 2)
        self.errors_below, self.errors_right = empty(2, 2), empty(2, 2)
        self.is_large, self.blockiness = empty(), empty()

    def near(self, above: Tensor, before: Tensor) -> Neighbours:
        """Tell which of the blocks that touch macroblocks have levels, 0 or 1."""
        top, left = flat(self.levels[:, BOTTOM], above), flat(self.levels[:, RIGHT], before)
        return Neighbours(top.amax(0).clamp(max=1), left.amax(0).clamp(max=1))

    def near_chroma(self, above: Tensor, before: Tensor) -> tuple[Neighbours, Neighbours]:
        """Tell the same of colour, and the errors of DC there."""
        top, left = flat(self.chroma_levels[:, CHROMA_BOTTOM], above), flat(self.chroma_levels[:, CHROMA_RIGHT], before)
        levels = (each.amax(0).clamp(max=1).flatten(1) for each in (top, left))
        errors = (flat(self.errors_below, above).flatten(1), flat(self.errors_right, before).flatten(1))
        return Neighbours(*levels), Neighbours(*errors)

    def near_modes(self, above: Tensor, before: Tensor) -> Neighbours:
        """Return the modes of the blocks that touch macroblocks."""
        return Neighbours(flat(self.modes[BOTTOM], above), flat(self.modes[RIGHT], before))

    def near_means(self, above: Tensor, before: Tensor) -> Tensor:
        """Count those of above and to the left that have means."""
        return flat(self.means_below, above) + flat(self.means_right, before)

    def keep(self, wave: Tensor, large: Large, blocks: Blocks, around: tuple[Tensor, Tensor]) -> None:
        """Keep what is better: blocks on their own or macroblocks as one."""
        is_small = blocks.score < large.score
        self._store(self.levels, wave, torch.where(is_small, blocks.levels, large.levels))
        self._store(self.contexts, wave, torch.where(is_small, blocks.contexts, large.contexts))
        self._store(self.modes, wave, torch.where(is_small, blocks.modes, large.mode))
        self._store(self.means, wave, large.means * ~is_small)
        self._store(self.means_contexts, wave, self.near_means(*around))
        self._store(self.is_large, wave, (~is_small).float())
        self._store(self.blockiness, wave, large.blockiness)
        filled = large.means.amax(0).clamp(max=1)
        for mine, neighbour in zip((self.means_below, self.means_right), around, strict=True):
            self._store(mine, wave, torch.where(is_small, flat(mine, neighbour), filled))

    def keep_chroma(self, wave: Tensor, chroma: Chroma) -> None:
        """Keep colour's results."""
        self._store(self.chroma_levels, wave, chroma.levels)
        self._store(self.chroma_contexts, wave, chroma.contexts)
        second, third, fourth = chroma.errors
        kept = torch.floor(3 * fourth / 4)
        self._store(self.errors_right, wave, torch.stack([second, kept]))
        self._store(self.errors_below, wave, torch.stack([third, fourth - kept]))

    def _store(self, each: Tensor, wave: Tensor, values: Tensor) -> None:
        each.index_copy_(each.dim() - 2, wave, values.reshape(*each.shape[:-2], len(wave), self.images))

    def events(self, start: int, end: int) -> Tensor:
        """Count the events of coding these macroblocks, see `count_events`."""
        done = slice(start, end)
        is_large = self.is_large[done] > 0
        levels, contexts = self.levels[..., done, :], self.contexts[:, done]
        chroma, chroma_contexts = self.chroma_levels[..., done, :], self.chroma_contexts[..., done, :]
        parts = (
            (levels[1:], contexts, AFTER_DC, is_large),
            (levels, contexts, WHOLE, ~is_large),
            (self.means[:, done], self.means_contexts[done], MEANS, is_large),
            (chroma, chroma_contexts, CHROMA, torch.ones_like(is_large)),
        )
        counts = [count_events(*part) for part in parts]
        return torch.stack(counts).sum(0)

    def is_filled(self) -> Tensor:
        """Tell which macroblocks have any levels, [macroblocks, N]."""
        parts = self.levels.amax((0, 1)), self.chroma_levels.amax((0, 1, 2)), self.means.amax(0)
        return torch.stack(parts).amax(0)[: self.size] > 0


def flat(each: Tensor, macroblocks: Tensor) -> Tensor:
    """Return some macroblocks' part, [..., M], of [..., macroblocks, N]."""
    return each.index_select(-2, macroblocks).flatten(-2)
