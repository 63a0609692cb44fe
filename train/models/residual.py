"""What the hybrid learns with: a small encoder-decoder over 4×4 tiles of pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

TILE = 4  # pixels, side: the smallest block that a common codec transforms
PERIOD = 4  # tiles after which a codec's grid repeats: a macroblock of 16×16 pixels
GRID = TILE * PERIOD  # pixels to a multiple of which images are padded


class Residual(nn.Module):
    """Learn what a codec layer leaves: from images before and after it, what is missing; nothing at first."""

    def __init__(self) -> None:
        super().__init__()
        self.net = EncoderDecoder(6 * TILE**2, 3 * TILE**2)

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Return the correction [N, 3, H, W] of images [N, 3, H, W] in [0, 1], any H and W."""
        height, width = before.shape[-2:]
        images = torch.cat([after, before - after], dim=1)
        padded = F.pad(images, (0, -width % GRID, 0, -height % GRID), mode="replicate")
        return F.pixel_shuffle(self.net(F.pixel_unshuffle(padded, TILE)), TILE)[..., :height, :width]


class EncoderDecoder(nn.Module):
    """Map features of tiles to corrections: full size, macroblocks for context, full size; 0 before training.

    Tiles know their place in the macroblock, since codecs treat a macroblock's tiles in turn.
    """

    def __init__(self, inputs: int, outputs: int, width: int = 64) -> None:
        super().__init__()
        self.stem = nn.Conv2d(inputs, width, 3, padding=1)
        self.place = nn.Parameter(torch.zeros(width, PERIOD, PERIOD))
        self.encode = Block(width)
        self.down = nn.Conv2d(width, 2 * width, PERIOD, stride=PERIOD)
        self.context = nn.Sequential(Block(2 * width), Block(2 * width))
        self.up = nn.Conv2d(2 * width, width, 1)
        self.decode = nn.Sequential(Block(width), Block(width))
        self.head = nn.Conv2d(width, outputs, 1)
        nn.init.zeros_(self.head.weight)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    def forward(self, tiles: Tensor) -> Tensor:
        """Map [N, inputs, H/4, W/4] to [N, outputs, H/4, W/4]; H and W are multiples of 16."""
        rows, columns = (length // PERIOD for length in tiles.shape[-2:])
        x = self.encode(self.stem(tiles) + self.place.repeat(1, rows, columns))
        context = self.up(self.context(self.down(F.relu(x))))
        x = self.decode(x + F.interpolate(context, scale_factor=PERIOD))
        output: Tensor = self.head(F.relu(x))
        return output


class Block(nn.Module):
    """Add two 3×3 convolutions to their input; nothing at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        assert self.second.bias is not None
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.second(F.relu(self.first(F.relu(x))))
        return x + branch
