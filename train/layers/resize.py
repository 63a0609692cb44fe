"""Resizing as the kernels of collect.codecs do it, as a layer."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from collect.codecs.kernels import SizeRule, kernel_matrix


class Resize(nn.Module):
    """Scale as a kernel does: across, rounded to whole grey levels, then down.

    Args:
        rule: to which size.
        kernel: its name in collect/codecs/kernels.
    """

    def __init__(self, rule: SizeRule, kernel: str = "lanczos") -> None:
        super().__init__()
        self.rule, self.kernel = rule, kernel

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        wide, high = self.rule.scaled((width, height))
        if (wide, high) != (width, height):
            lines = zip((width, height), (wide, high), self.rule.scales((width, height)), strict=True)
            across, down = (_matrix(length, served, self.kernel, scale).to(images) for length, served, scale in lines)
            images = whole(down @ whole(images @ across.T))
        left, top, right, bottom = self.rule.kept((wide, high)) or (0, 0, wide, high)
        return images[..., top:bottom, left:right]


def whole(images: Tensor) -> Tensor:
    """Round to whole grey levels and clip to 0-255, over 255; the gradient is the identity's, within the range."""
    levels = images * 255
    return (levels + (torch.floor(levels + 0.5) - levels).detach()).clamp(0, 255) / 255


@lru_cache(maxsize=64)
def _matrix(length: int, served: int, kernel: str, scale: float) -> Tensor:
    """Return the float [served, length] matrix by which a kernel resizes a line of pixels."""
    return torch.from_numpy(kernel_matrix(length, served, kernel, scale).copy())
