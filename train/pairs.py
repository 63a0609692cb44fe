"""Accepted pairs in memory, and aligned crops of them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from pairing.align import read_pixels
from pairing.database import accepted
from params import UserError

BLOCK = 16  # the coarsest grid of common codecs, pixels: a JPEG macroblock with halved chroma


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    """The pairs of a split; an item is a random crop (original, rendition), uint8 [3, side, side].

    Crops start at multiples of 16 pixels, so that a codec's blocks lie in each as in the whole image. They
    are never flipped or turned: a codec needn't be symmetrical (WebP predicts from the left and above).

    Args:
        files: original and rendition of each pair; a rendition of another size is scaled to its original's.
        crop: side of the crops; smaller images lower it to the largest multiple of 16 that fits; None or images
            under 16 pixels: whole images.
        seed: of the crops' positions.
    """

    def __init__(self, files: list[tuple[Path, Path]], *, crop: int | None = None, seed: int = 0) -> None:
        self.pairs = [read_pair(original, rendition) for original, rendition in files]
        shortest = min((min(original.shape[1:]) for original, _ in self.pairs), default=0)
        self.side = min(crop, shortest // BLOCK * BLOCK) if crop else 0
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        original, rendition = self.pairs[index]
        if not self.side:
            return original, rendition
        top, left = (self._offset(length) for length in original.shape[1:])
        window = (..., slice(top, top + self.side), slice(left, left + self.side))
        return original[window], rendition[window]

    def _offset(self, length: int) -> int:
        positions = (length - self.side) // BLOCK + 1
        return BLOCK * int(torch.randint(positions, (), generator=self.generator))


def read_pair(original: Path, rendition: Path) -> tuple[Tensor, Tensor]:
    """Read a pair as uint8 [3, H, W] tensors of the original's size."""
    uploaded = read_image(original)
    return uploaded, read_image(rendition, (uploaded.shape[2], uploaded.shape[1]))


def read_image(file: Path, size: tuple[int, int] | None = None) -> Tensor:
    """Read an image as a uint8 [3, H, W] tensor; bring it to `size` (width, height) by Lanczos."""
    return torch.from_numpy(read_pixels(file, size).copy()).permute(2, 0, 1).contiguous()


def load(database: Path, split: str, *, crop: int | None = None, seed: int = 0) -> Pairs:
    """Load a split's accepted pairs; raise UserError when there are none, or a file is gone or broken."""
    redo = f"Run `comreadv collect --platform {database.stem}`, then `comreadv pairing --platform {database.stem}`."
    try:
        files = accepted(database, split)
    except FileNotFoundError:
        raise UserError(f"There is no pairs database {database}. {redo}") from None
    if not files:
        raise UserError(f"{database} holds no accepted pair of the split {split}. {redo}")
    try:
        return Pairs(files, crop=crop, seed=seed)
    except OSError as error:
        raise UserError(f"{database} names an image that can't be read: {error}. {redo}") from None
