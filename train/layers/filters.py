"""A filter of collect.codecs as a layer, where nothing is rounded or clipped."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn


class LinearFilter(nn.Module):
    """Filter each colour by weights; beyond the edges stand their last pixels.

    Args:
        weights: [odd, odd].
    """

    weights: Tensor

    def __init__(self, weights: NDArray[np.float64]) -> None:
        super().__init__()
        self.register_buffer("weights", torch.from_numpy(weights).float(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the filtered images, [N, 3, H, W] as they came."""
        down, across = (side // 2 for side in self.weights.shape)
        padded = F.pad(images, (across, across, down, down), mode="replicate")
        weights = self.weights.to(images).expand(images.shape[1], 1, *self.weights.shape)
        return F.conv2d(padded, weights, groups=images.shape[1])
