"""The steps of a codec chain as differentiable layers: resize, sharpen, JPEG.

Each follows Pillow to the rounding: grey levels between two steps are whole, with the gradient of the identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from PIL import Image
from torch import Tensor, nn

from collect import codecs
from train.busyness import busyness
from train.jpeg import HALVED, Rounding, Sampling, jpeg
from train.leverage import Quantisation

SAMPLINGS: dict[str, Sampling] = {"444": "4:4:4", "422": "4:2:2", "420": "4:2:0"}


class Resize(nn.Module):
    """Scale as Pillow does: across, rounded to whole grey levels, then down.

    Args:
        by: `resize` multiplies both sides; `fit` and `width` shrink the longest side or the width, and never enlarge.
        number: the scale, or the pixels.
        kernel: the name of one of Pillow's.
    """

    def __init__(self, by: str, number: float, kernel: str = "lanczos") -> None:
        super().__init__()
        self.by, self.number, self.kernel = by, number, kernel

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        wide, high = codecs.resized((width, height), self.by, self.number)
        if (wide, high) == (width, height):
            return images
        across, down = (kernel_matrix(*lengths, self.kernel).to(images) for lengths in ((width, wide), (height, high)))
        return whole(down @ whole(images @ across.T))


class Sharpen(nn.Module):
    """Add `amount` times the difference from a copy blurred by (1 2 1, 2 4 2, 1 2 1)/16; the edges stay as they are.

    The sum is taken in Pillow's order and precision, so that ties fall as they do there.
    """

    def __init__(self, amount: float) -> None:
        super().__init__()
        corner, side, centre = -amount / 16, -2 * amount / 16, 1 + 12 * amount / 16
        self.kernel = ((corner, side, corner), (side, centre, side), (corner, side, corner))

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if min(height, width) < 3:
            return images
        levels = images * 255
        levels = levels + (levels.round() - levels).detach()
        total = torch.full_like(levels[..., 2:, 2:], 0.5)
        for row in (2, 1, 0):
            line = [
                weight * levels[..., row : height - 2 + row, column : width - 2 + column]
                for column, weight in enumerate(self.kernel[row])
            ]
            total = total + (line[0] + line[1] + line[2])
        inner = F.pad(total + (torch.floor(total) - total).detach(), (1, 1, 1, 1))
        edge = torch.ones_like(images[:1, :1], dtype=torch.bool)
        edge[..., 1:-1, 1:-1] = False
        return torch.where(edge, levels, inner).clamp(0, 255) / 255


class Jpeg(nn.Module):
    """Encode and decode as JPEG by a file's own tables.

    Args:
        sampling: `444`, `422` or `420`.
        tables: of luma and chroma, 64 steps each in rows; finest first.
        thresholds: the busyness above which the next tables are taken, one fewer than there are tables; empty: the
            first tables, whatever the image.
        rounding: of the quantised coefficients, as `train.jpeg.jpeg` has it.
    """

    luma: Tensor
    chroma: Tensor
    thresholds: Tensor

    def __init__(
        self,
        sampling: str,
        tables: Sequence[tuple[Sequence[int], Sequence[int]]],
        thresholds: Sequence[float] = (),
        *,
        rounding: Rounding = "straight_through",
    ) -> None:
        super().__init__()
        self.sampling, self.rounding = SAMPLINGS[sampling], rounding
        luma, chroma = (torch.tensor([pair[kind] for pair in tables]).float().view(-1, 8, 8) for kind in (0, 1))
        self.register_buffer("luma", luma, persistent=False)
        self.register_buffer("chroma", chroma, persistent=False)
        self.register_buffer("thresholds", torch.tensor(thresholds), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        chosen = self.choose(images)
        return jpeg(
            images.clamp(0, 1), self.luma[chosen], self.chroma[chosen], sampling=self.sampling, rounding=self.rounding
        )

    @torch.no_grad()
    def quantisation(self, images: Tensor) -> Quantisation:
        """Return how each image is quantised."""
        chosen = self.choose(images)
        return Quantisation(8, HALVED[self.sampling], (self.luma[chosen], self.chroma[chosen]))

    @torch.no_grad()
    def choose(self, images: Tensor) -> Tensor:
        """Return the index of each image's tables, int64 [N]."""
        if not len(self.thresholds):
            return torch.zeros(len(images), dtype=torch.int64, device=images.device)
        return torch.bucketize(busyness(images, self.luma[0]), self.thresholds)


def whole(images: Tensor) -> Tensor:
    """Round to whole grey levels and clip to 0-255, over 255; the gradient is the identity's, within the range."""
    levels = images * 255
    return (levels + (torch.floor(levels + 0.5) - levels).detach()).clamp(0, 255) / 255


@lru_cache(maxsize=64)
def kernel_matrix(length: int, served: int, kernel: str) -> Tensor:
    """Return the float [served, length] matrix by which Pillow resizes a line of pixels, read off Pillow itself."""
    impulses = Image.fromarray(np.eye(length, dtype=np.float32))
    answers = impulses.resize((served, length), Image.Resampling[kernel.upper()])
    return torch.from_numpy(np.asarray(answers).T.copy())
