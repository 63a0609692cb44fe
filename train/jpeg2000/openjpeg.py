"""JPEG 2000 as OpenJPEG writes it to a given rate: reversible 5/3 wavelet, no colour transform, one quality layer.

Follows ISO/IEC 15444-1, annex F, and OpenJPEG's rate control (tcd.c): see bit_planes.py.
"""

from __future__ import annotations

import torch
from torch import Tensor

from train.jpeg2000.bit_planes import allocate, join, split, truncate

LEVELS = 5
NORMS = [  # of the synthesis of HL, LH and HH, finest first, and of LL, as in OpenJPEG's dwt.c
    [1.038, 1.038, 0.7186],
    [1.592, 1.592, 0.9218],
    [2.919, 2.919, 1.586],
    [5.703, 5.703, 3.043],
    [11.33, 11.33, 6.019],
    [21.0],
]
OVERHEAD = 130  # bytes that a file's headers take, per colour


def jpeg2000(images: Tensor, rate: float) -> Tensor:
    """Encode and decode images at a compression rate; the gradient is the identity's.

    Args:
        images: float [N, C, H, W] in [0, 1], whole grey levels over 255; any H and W.
        rate: raw bytes over the file's bytes.

    Returns:
        float, the images' shape, whole grey levels over 255.
    """
    with torch.no_grad():
        bands = transform((images * 255).round() - 128)
        levels = [split(part, norms) for part, norms in zip(bands, NORMS, strict=True)]
        kept = allocate(levels, images[0].numel() / rate - OVERHEAD * images.shape[1])
        decoded = [
            [
                magnitude * band.sign()
                for magnitude, band in zip(join(truncate(blocks, passes), part), part, strict=True)
            ]
            for blocks, passes, part in zip(levels, kept, bands, strict=True)
        ]
        served = (inverse(decoded) + 128).clamp(0, 255) / 255
    return images + (served - images).detach()


def transform(levels: Tensor) -> list[list[Tensor]]:
    """Take whole numbers apart into HL, LH and HH of each level, finest first, and LL alone."""
    bands = []
    low = levels
    for _ in range(LEVELS):
        above, below = (part.mT for part in _lift(low.mT))
        low, horizontal = _lift(above)
        bands.append([horizontal, *_lift(below)])
    return [*bands, [low]]


def inverse(bands: list[list[Tensor]]) -> Tensor:
    """Put `transform`'s bands together again, exactly."""
    *higher, [low] = bands
    for horizontal, vertical, diagonal in reversed(higher):
        low = _unlift(_unlift(low, horizontal).mT, _unlift(vertical, diagonal).mT).mT
    return low


def _lift(x: Tensor) -> tuple[Tensor, Tensor]:
    """Split lines into their low and high half by the 5/3 wavelet's two lifting steps."""
    low, high = x[..., 0::2], x[..., 1::2]
    if not high.shape[-1]:
        return low, high
    high = high - torch.floor((low[..., : high.shape[-1]] + _next(low, high.shape[-1])) / 2)
    return low + _update(low, high), high


def _unlift(low: Tensor, high: Tensor) -> Tensor:
    if not high.shape[-1]:
        return low
    low = low - _update(low, high)
    high = high + torch.floor((low[..., : high.shape[-1]] + _next(low, high.shape[-1])) / 2)
    joined = low.new_empty(*low.shape[:-1], low.shape[-1] + high.shape[-1])
    joined[..., 0::2], joined[..., 1::2] = low, high
    return joined


def _next(low: Tensor, count: int) -> Tensor:
    """Return what follows each low sample, mirrored at the end."""
    return torch.cat([low[..., 1:], low[..., -1:]], dim=-1)[..., :count]


def _update(low: Tensor, high: Tensor) -> Tensor:
    before = torch.cat([high[..., :1], high], dim=-1)[..., : low.shape[-1]]
    after = torch.cat([high, high[..., -1:]], dim=-1)[..., : low.shape[-1]]
    return torch.floor((before + after + 2) / 4)
