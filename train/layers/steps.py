"""The steps of a codec chain as differentiable layers: resize, sharpen, JPEG.

Each follows Pillow to the rounding: grey levels between two steps are whole, with the gradient of the identity.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from train.layers.bitrate import estimate_bitrate
from train.layers.gradient_steering import Quantisation
from train.layers.jpeg import HALVED, Rounding, Sampling, jpeg

SAMPLINGS: dict[str, Sampling] = {"444": "4:4:4", "422": "4:2:2", "420": "4:2:0"}


class Jpeg(nn.Module):
    """Encode and decode as JPEG by a file's own tables.

    Args:
        sampling: `444`, `422` or `420`.
        tables: of luma and chroma, 64 steps each in rows; finest first.
        thresholds: the estimated bits a pixel above which the next tables are taken, one fewer than there are tables;
            empty: the first tables, whatever the image.
        rounding: of the quantised coefficients, as `train.layers.jpeg.jpeg` has it.
        biases: of luma and chroma, 64 each in rows, as it has them too.
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
        biases: tuple[Sequence[float], Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        self.sampling, self.rounding = SAMPLINGS[sampling], rounding
        luma, chroma = (torch.tensor([pair[kind] for pair in tables]).float().view(-1, 8, 8) for kind in (0, 1))
        self.register_buffer("luma", luma, persistent=False)
        self.register_buffer("chroma", chroma, persistent=False)
        self.biases = biases and (torch.tensor(biases[0]).view(8, 8), torch.tensor(biases[1]).view(8, 8))
        self.register_buffer("thresholds", torch.tensor(thresholds), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        chosen = self.choose(images)
        return jpeg(
            images.clamp(0, 1),
            self.luma[chosen],
            self.chroma[chosen],
            sampling=self.sampling,
            rounding=self.rounding,
            biases=self.biases,
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
        return torch.bucketize(estimate_bitrate(images, self.luma[0]), self.thresholds)
