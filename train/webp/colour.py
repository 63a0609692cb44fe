"""WebP's way from RGB to brightness and halved colour and back, as libwebp goes it, exactly.

Follows libwebp's picture_csp_enc.c (colour is averaged in linear light) and upsampling.c (and spread over its four
pixels by a triangle).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

GAMMA = 0.8
LINEAR = 4095  # the brightest, in linear light
STEPS = 32  # of the table back from linear light
TO_LINEAR = (LINEAR * (torch.arange(256) / 255).double() ** GAMMA + 0.5).long()
FROM_LINEAR = (255 * (torch.arange(STEPS + 1) * (128 / LINEAR)).double() ** (1 / GAMMA) + 0.5).long()
TO_LUMA = torch.tensor((16839.0, 33059.0, 6420.0))
TO_CHROMA = torch.tensor(((-9719, -19081, 28800), (28800, -24116, -4684))).double()


def to_yuv(levels: Tensor) -> tuple[Tensor, Tensor]:
    """Convert whole levels [N, 3, H, W] to brightness [N, H, W] and colour [N, 2, ⌈H / 2⌉, ⌈W / 2⌉]."""
    device = levels.device
    luma = torch.floor((torch.einsum("nchw,c->nhw", levels, TO_LUMA.to(device)) + (1 << 15)) / (1 << 16)) + 16
    light = TO_LINEAR.to(device)[even(levels).long()]
    four = light[..., 0::2, 0::2] + light[..., 0::2, 1::2] + light[..., 1::2, 0::2] + light[..., 1::2, 1::2]
    table, place, part = FROM_LINEAR.to(device), four >> 9, four & 511
    mean = (table[place + 1] * part + table[place] * (512 - part) + 64) >> 7  # four times as fine as a level
    sums = torch.einsum("nchw,dc->ndhw", mean.double(), TO_CHROMA.to(device))
    return luma, (torch.floor((sums + (1 << 17)) / (1 << 18)) + 128).clamp(0, 255).float()


def even(planes: Tensor) -> Tensor:
    """Repeat the last row and column where their number is odd."""
    return F.pad(planes, (0, planes.shape[-1] % 2, 0, planes.shape[-2] % 2), mode="replicate")


def to_rgb(luma: Tensor, chroma: Tensor) -> Tensor:
    """Convert brightness [N, H, W] and colour [N, 2, ⌈H / 2⌉, ⌈W / 2⌉] to whole levels [N, 3, H, W]."""
    height, width = luma.shape[-2:]
    blue, red = torch.floor((_spread(_spread(chroma).mT).mT + 8) / 16)[..., :height, :width].unbind(1)

    def scaled(plane: Tensor, factor: int) -> Tensor:
        return torch.floor(plane * factor / 256)

    grey = scaled(luma, 19077)
    channels = (
        grey + scaled(red, 26149) - 14234,
        grey - scaled(blue, 6419) - scaled(red, 13320) + 8708,
        grey + scaled(blue, 33050) - 17685,
    )
    return torch.floor(torch.stack(channels, dim=1) / 64).clamp(0, 255)


def _spread(plane: Tensor) -> Tensor:
    """Double the columns' number: three parts of the nearest one and one of the next."""
    before = torch.cat([plane[..., :1], plane[..., :-1]], dim=-1)
    after = torch.cat([plane[..., 1:], plane[..., -1:]], dim=-1)
    return torch.stack([3 * plane + before, 3 * plane + after], dim=-1).flatten(-2)
