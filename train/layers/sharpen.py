"""Sharpening as Pillow does it, as a layer."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


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
