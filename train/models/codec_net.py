"""A learned codec, for formats that have no layer of their own: AVIF, and JPEG 2000 by the irreversible wavelet.

It knows what such codecs share: luma and halved chroma, transformed in tiles, whose coefficients are rounded to
multiples of some step. Which step, and how far to believe it, is learned.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from train.layers.gradient_steering import TO_YCC, dct_matrix
from train.models.residual import GRID, TILE, EncoderDecoder

STEPS = (16.0, 27.0, 46.0, 78.0)  # at first, grey levels
COEFFICIENTS = 3 * TILE**2  # of a tile of luma and of the tiles of both chroma planes that it lies in
ROUND_UP = 0.6  # where encoders round a coefficient away from zero, as a share of a step: late, since zeros are cheap
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


class CodecNet(nn.Module):
    """Map images before an encoder to images after it; 4:2:0 colours alone before training."""

    dct: Tensor
    to_ycc: Tensor
    to_rgb: Tensor

    def __init__(self) -> None:
        super().__init__()
        dct = dct_matrix(TILE, torch.zeros(1))
        self.register_buffer("dct", torch.einsum("ai,bj->abij", dct, dct).reshape(TILE**2, TILE**2), persistent=False)
        self.register_buffer("to_ycc", torch.tensor(TO_YCC)[..., None, None], persistent=False)
        self.register_buffer("to_rgb", torch.tensor(TO_RGB)[..., None, None], persistent=False)
        self.steps = nn.Parameter(torch.tensor(STEPS).log()[:, None].repeat(1, COEFFICIENTS))
        self.net = EncoderDecoder(COEFFICIENTS * (1 + len(STEPS)), COEFFICIENTS * (1 + len(STEPS)))

    def forward(self, images: Tensor) -> Tensor:
        """Return the images after the encoder, [N, 3, H, W], of images in [0, 1], any H and W."""
        height, width = images.shape[-2:]
        padded = F.pad(images, (0, -width % GRID, 0, -height % GRID), mode="replicate")
        ycc = F.conv2d(255 * padded, self.to_ycc)
        luma, chroma = ycc[:, :1] - 128, F.avg_pool2d(ycc[:, 1:], 2)
        both = [self._transform(plane) for plane in chroma.chunk(2, dim=1)]
        coefficients = torch.cat([self._transform(luma), F.interpolate(torch.cat(both, dim=1), scale_factor=2)], dim=1)
        luma_change, *chroma_change = self._change(coefficients).chunk(3, dim=1)
        luma = luma + self._transform_back(luma_change)
        chroma = chroma + torch.cat([self._transform_back(F.avg_pool2d(each, 2)) for each in chroma_change], dim=1)
        grown = F.interpolate(chroma, scale_factor=2, mode="bilinear")
        rgb = F.conv2d(torch.cat([luma + 128, grown], dim=1), self.to_rgb)
        return rgb[..., :height, :width] / 255

    def _change(self, coefficients: Tensor) -> Tensor:
        """Return what the encoder adds to the coefficients: a mixture of roundings, and a free part."""
        steps = self.steps.exp()[:, :, None, None]
        ratio = coefficients[:, None] / steps
        near = torch.sign(ratio) * torch.floor(ratio.abs() + 1 - ROUND_UP)
        lost = steps * (near - ratio).detach()  # the steps learn; the gradient by the image is the identity's
        size = torch.sign(coefficients) * torch.log1p(coefficients.abs() / TILE)
        answers = self.net(torch.cat([size, (lost / steps).flatten(1, 2).detach()], dim=1))
        free, *shares = answers.unflatten(1, (1 + len(STEPS), COEFFICIENTS)).unbind(1)
        change: Tensor = TILE * free + (torch.stack(shares, dim=1) * lost).sum(1)
        return change

    def _transform(self, plane: Tensor) -> Tensor:
        return F.conv2d(F.pixel_unshuffle(plane, TILE), self.dct[:, :, None, None])

    def _transform_back(self, coefficients: Tensor) -> Tensor:
        return F.pixel_shuffle(F.conv2d(coefficients, self.dct.T[:, :, None, None]), TILE)
