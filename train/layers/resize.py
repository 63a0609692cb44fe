"""Resizing as the kernels of collect.codecs do it, as a layer."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from collect.codecs.kernels import kernel_matrix, resized


class Resize(nn.Module):
    """Scale as a kernel does: across, rounded to whole grey levels, then down.

    Args:
        by: `resize` multiplies both sides; `fit` and `width` shrink the longest side or the width, and never enlarge.
        number: the scale, or the pixels.
        kernel: its name in collect/codecs/kernels.
    """

    def __init__(self, by: str, number: float, kernel: str = "lanczos") -> None:
        super().__init__()
        self.by, self.number, self.kernel = by, number, kernel

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        wide, high = resized((width, height), self.by, self.number)
        if (wide, high) == (width, height):
            return images
        across, down = (_matrix(*lengths, self.kernel).to(images) for lengths in ((width, wide), (height, high)))
        return whole(down @ whole(images @ across.T))


def whole(images: Tensor) -> Tensor:
    """Round to whole grey levels and clip to 0-255, over 255; the gradient is the identity's, within the range."""
    levels = images * 255
    return (levels + (torch.floor(levels + 0.5) - levels).detach()).clamp(0, 255) / 255


@lru_cache(maxsize=64)
def _matrix(length: int, served: int, kernel: str) -> Tensor:
    """Return the float [served, length] matrix by which a kernel resizes a line of pixels."""
    return torch.from_numpy(kernel_matrix(length, served, kernel).copy())
