"""Steps of a chain whose numbers are fitted to a platform's pairs, where no library is known that does them."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from collect.codecs.kernels import SizeRule
from train.layers.resize import whole

TAPS_A_PIXEL = 8  # values of a kernel between two served pixels
REACH = 4  # served pixels that a kernel reaches to each side


class FittedResize(nn.Module):
    """Resize by a kernel that is given by its values.

    Args:
        rule: to which size.
        taps: at distances of 0, 1/8, 2/8 … 4 served pixels (original ones, where it enlarges); symmetric.
    """

    def __init__(self, rule: SizeRule, taps: Tensor) -> None:
        super().__init__()
        self.rule, self.taps = rule, nn.Parameter(taps)

    def forward(self, images: Tensor) -> Tensor:
        """Return images [N, 3, h, w], not rounded, of images [N, 3, H, W]."""
        height, width = images.shape[-2:]
        wide, high = self.rule.scaled((width, height))
        scaled = self.matrix(height, high) @ (images @ self.matrix(width, wide).T)
        left, top, right, bottom = self.rule.kept((wide, high)) or (0, 0, wide, high)
        return scaled[..., top:bottom, left:right]

    def matrix(self, length: int, served: int) -> Tensor:
        """Return the [served, length] matrix that resizes a line."""
        scale = length / served
        places = torch.arange(length, device=self.taps.device)
        centres = (torch.arange(served, device=self.taps.device) + 0.5) * scale - 0.5
        at = (places - centres[:, None]).abs() / max(scale, 1.0) * TAPS_A_PIXEL
        below = at.floor().clamp(max=len(self.taps) - 2).long()
        share = (at - below).clamp(0, 1)
        weights = torch.lerp(self.taps[below], self.taps[below + 1], share)
        weights = torch.where(at < len(self.taps) - 1, weights, torch.zeros_like(weights))
        return weights / weights.sum(1, keepdim=True)


class FittedFilter(nn.Module):
    """Filter all colours by weights [odd, odd], then mix them by a matrix [3, 3] and an offset [3] in grey levels."""

    def __init__(self, weights: Tensor, matrix: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.weights, self.matrix, self.offset = nn.Parameter(weights), nn.Parameter(matrix), nn.Parameter(offset)

    def forward(self, images: Tensor) -> Tensor:
        """Return images [N, 3, H, W], not rounded."""
        edge = self.weights.shape[0] // 2
        padded = F.pad(images, (edge,) * 4, mode="replicate")
        filtered = F.conv2d(padded, self.weights.expand(3, 1, -1, -1), groups=3)
        return torch.einsum("kc,nchw->nkhw", self.matrix, filtered) + self.offset.view(3, 1, 1) / 255


class Whole(nn.Module):
    """Round to whole grey levels, with the gradient of the identity."""

    def forward(self, images: Tensor) -> Tensor:
        return whole(images)
