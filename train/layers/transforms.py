"""The colour and cosine transforms of block codecs, and those that libjpeg makes of them in fixed point."""

from __future__ import annotations

import math

import torch
from torch import Tensor

BLOCK = 8  # pixels, side of a JPEG's blocks
TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))  # BT.601's, full range
FIXED_POINT = 65536
LIBJPEG_TO_YCC = tuple(tuple(round(FIXED_POINT * weight) for weight in row) for row in TO_YCC)  # jccolor.c's
LIBJPEG_TO_RGB = ((65536, 0, 91881), (65536, -22554, -46802), (65536, 116130, 0))  # jdcolor.c's
LIBJPEG_DCT = (  # the left half; sums of jfdctint.c's and jidctint.c's constants, in 1/8192
    (8192, 8192, 8192, 8192),
    (11363, 9633, 6437, 2260),
    (10703, 4433, -4433, -10703),
    (9633, -2259, -11362, -6436),
    (8192, -8192, -8192, 8192),
    (6437, -11362, 2261, 9633),
    (4433, -10704, 10704, -4433),
    (2260, -6436, 9633, -11363),
)


def dct_matrix(side: int, like: Tensor) -> Tensor:
    """Return the orthonormal DCT-II's matrix, [side, side]."""
    index = torch.arange(side, device=like.device, dtype=like.dtype)
    matrix = torch.cos(math.pi / side * index[:, None] * (index + 0.5)) * math.sqrt(2 / side)
    matrix[0] /= math.sqrt(2)
    return matrix


def libjpeg_dct_matrix(like: Tensor) -> Tensor:
    """Return libjpeg's 8×8 matrix of the DCT-II, √8 times the orthonormal one but for its rounding."""
    half = like.new_tensor(LIBJPEG_DCT)
    mirrored = half.flip(1) * half.new_tensor([1, -1] * 4).view(-1, 1)  # even rows are symmetric, odd ones turn sign
    return torch.cat([half, mirrored], dim=1) / 8192
