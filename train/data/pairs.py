"""Accepted pairs, read when they are asked for, and aligned crops of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from sqlalchemy.exc import DatabaseError
from torch import Tensor

from pairing.database import Accepted, aligned
from params import UserError
from train.tensors import read_image, read_placed

BLOCK = 16  # the coarsest grid of common codecs, pixels: a JPEG macroblock with halved chroma
CACHE_BYTES = 2**30  # bytes that a cache may hold


class Pairs:
    """Pairs of files; an item is (original, rendition), uint8 [3, H, W] each, read anew each time.

    A rendition is as served, but for one that was moved on its original: that one is laid where it belongs, in the
    original's size. One that doesn't show all of its original has a fourth channel: 255 where it counts, less under
    a watermark or where it was cropped off.

    Args:
        files: original and rendition of each pair.
        remedy: what a person is told to do when a file can't be read, which raises UserError.
        placed: how pairs belong together, by their files; those that aren't named are whole.
    """

    def __init__(
        self,
        files: Sequence[tuple[Path, Path]],
        remedy: str = "",
        placed: Mapping[tuple[Path, Path], Accepted] | None = None,
    ) -> None:
        self.files, self.remedy, self.placed = list(files), remedy, placed or {}

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        original, rendition = self.files[index]
        try:
            first, how = read_image(original), self.placed.get((original, rendition))
            return first, read_image(rendition) if how is None else read_placed(how, (first.shape[2], first.shape[1]))
        except OSError as error:
            raise UserError(f"{original} or {rendition} can't be read: {error}. {self.remedy}".strip()) from None

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return (self[index] for index in range(len(self)))

    def some(self, count: int) -> Pairs:
        """Return at most so many of the pairs, evenly spread over them."""
        count = min(count, len(self))
        return Pairs([self.files[place * len(self) // count] for place in range(count)], self.remedy, self.placed)

    def unmoved(self) -> dict[tuple[Path, Path], bytes | None]:
        """Map the files of pairs that show their originals whole and unmoved to the mask of their watermark, if any."""
        shown = ((files, self.placed.get(files)) for files in self.files)
        return {files: pair.mask if pair else None for files, pair in shown if pair is None or pair.is_whole}


class Cache:
    """The pairs of tensors used last, as many as fit into so many bytes."""

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self.limit, self.bytes = limit, 0
        self.kept: OrderedDict[int, tuple[Tensor, Tensor]] = OrderedDict()

    def get(self, key: int, make: Callable[[int], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Return what is kept under a key, or make it."""
        if key not in self.kept:
            self.kept[key] = make(key)
            self.bytes += sum(tensor.nbytes for tensor in self.kept[key])
        self.kept.move_to_end(key)
        wanted = self.kept[key]
        while self.bytes > self.limit and self.kept:
            _, dropped = self.kept.popitem(last=False)
            self.bytes -= sum(tensor.nbytes for tensor in dropped)
        return wanted


def crops(
    items: Sequence[tuple[Tensor, Tensor]], side: int | None, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Cut a random crop of one size out of each item, and stack them.

    Crops start at multiples of 16 pixels, so that a codec's blocks lie in each as in the whole image. They
    are never flipped or turned: a codec needn't be symmetrical (WebP predicts from the left and above).

    Args:
        items: two tensors each, [C, H, W] and [K, H, W].
        side: of the crops; lowered to the largest multiple of 16 that fits all items; None: as large as fits, and
            whole items where all have one size.

    Returns:
        [N, C, h, w] and [N, K, h, w].
    """
    sizes = [first.shape[-2:] for first, _ in items]
    height, width = (_common([size[axis] for size in sizes], side) for axis in (0, 1))
    cut = []
    for first, second in items:
        top, left = (
            BLOCK * int(torch.randint((whole - part) // BLOCK + 1, (), generator=generator))
            for whole, part in zip(first.shape[-2:], (height, width), strict=True)
        )
        window = (..., slice(top, top + height), slice(left, left + width))
        cut.append((first[window], second[window]))
    return torch.stack([first for first, _ in cut]), torch.stack([second for _, second in cut])


def _common(lengths: Sequence[int], side: int | None) -> int:
    shortest = min(lengths)
    if side is None and shortest == max(lengths):
        return shortest
    length = min(shortest, side or shortest)
    return length if length < BLOCK else length // BLOCK * BLOCK


def load_pairs(database: Path, split: str) -> Pairs:
    """List a split's accepted pairs; raise UserError when there are none."""
    redo = f"Run `comreadv collect --platform {database.stem}`, then `comreadv pairing --platform {database.stem}`."
    try:
        found = aligned(database, split)
    except FileNotFoundError:
        raise UserError(f"There is no pairs database {database}. {redo}") from None
    except DatabaseError as error:
        raise UserError(f"{database} is no pairs database, or is damaged ({error.orig}). {redo}") from None
    if not found:
        raise UserError(f"{database} holds no accepted pair of the split {split}. {redo}")
    return Pairs(
        [(pair.original, pair.rendition) for pair in found],
        redo,
        {(pair.original, pair.rendition): pair for pair in found if pair.mask or not pair.is_whole},
    )
