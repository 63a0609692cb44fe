"""A differentiable JPEG that follows libjpeg-turbo step by step.

Rounds wherever libjpeg rounds (jccolor.c, jcsample.c, jfdctint.c, jcdctmgr.c, jidctint.c, jdsample.c, jdcolor.c), so
that its hard forward pass is the real decoder's output but for a few pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

BLOCK = 8
Sampling = Literal["4:4:4", "4:2:2", "4:2:0", "grey"]
Rounding = Literal["straight_through", "cubic", "smooth"]
HALVED = {"4:4:4": (1, 1), "4:2:2": (1, 2), "4:2:0": (2, 2)}  # pixels a chroma sample stands for, down and across
DCT = (  # the left half; sums of jfdctint.c's and jidctint.c's constants, in 1/8192
    (8192, 8192, 8192, 8192),
    (11363, 9633, 6437, 2260),
    (10703, 4433, -4433, -10703),
    (9633, -2259, -11362, -6436),
    (8192, -8192, -8192, 8192),
    (6437, -11362, 2261, 9633),
    (4433, -10704, 10704, -4433),
    (2260, -6436, 9633, -11363),
)
TO_YCC = ((19595, 38470, 7471), (-11058, -21710, 32768), (32768, -27439, -5329))  # jccolor.c's, in 1/65536
TO_RGB = ((65536, 0, 91881), (65536, -22554, -46802), (65536, 116130, 0))  # jdcolor.c's


def jpeg(
    images: Tensor,
    luma: Tensor,
    chroma: Tensor | None = None,
    *,
    sampling: Sampling = "4:2:0",
    rounding: Rounding = "straight_through",
) -> Tensor:
    """Encode and decode images as libjpeg-turbo does.

    Args:
        images: float [N, 3, H, W] in [0, 1], or [N, 1, H, W] for grey; any H and W.
        luma: quantisation table, [8, 8] or [N, 8, 8], in rows and columns (not zigzag), 1 and more.
        chroma: the same for colour; needed unless grey.
        rounding: of the quantised coefficients; everything else is rounded straight through.

    Returns:
        float, the images' shape, in [0, 1]; whole grey levels over 255 with `straight_through`.
    """
    quantised = ROUNDINGS[rounding]
    levels = _descale(images * 255)
    if sampling == "grey":
        return _compress(levels, luma, quantised) / 255
    if chroma is None:
        raise ValueError("colour needs a chroma table")
    below_128 = 128 - 1 / 65536  # libjpeg rounds chroma's halves down
    ycc = _descale(_mix(levels, TO_YCC) + levels.new_tensor([0.0, below_128, below_128]).view(3, 1, 1))
    y = _compress(ycc[:, :1], luma, quantised)
    down, across = HALVED[sampling]
    height, width = images.shape[-2:]
    colours = _compress(_shrink(ycc[:, 1:], down, across), chroma, quantised)
    colours = colours[..., : math.ceil(height / down), : math.ceil(width / across)]
    colours = _grow(colours, down, across)[..., :height, :width]
    rgb = _mix(torch.cat([y, colours - 128], dim=1), TO_RGB)
    return _descale(rgb).clamp(0, 255) / 255


def straight_through(x: Tensor) -> Tensor:
    """Round halves away from zero, as libjpeg's quantiser does, with the gradient of the identity."""
    return x + (torch.sign(x) * torch.floor(x.abs() + 0.5) - x).detach()


def cubic(x: Tensor) -> Tensor:
    """Round, plus the cube of what rounding took away (Shin and Song, 2017)."""
    nearest = torch.round(x).detach()
    return nearest + (x - nearest) ** 3


def smooth(x: Tensor) -> Tensor:
    """Bend the identity towards whole numbers by a sine; its gradient is 0 at them and 2 half-way."""
    return x - torch.sin(2 * math.pi * x) / (2 * math.pi)


ROUNDINGS: dict[Rounding, Callable[[Tensor], Tensor]] = {
    "straight_through": straight_through,
    "cubic": cubic,
    "smooth": smooth,
}


def _descale(x: Tensor) -> Tensor:
    """Round halves up, as libjpeg's shifts do, with the gradient of the identity."""
    return x + (torch.floor(x + 0.5) - x).detach()


def _mix(images: Tensor, matrix: tuple[tuple[int, ...], ...]) -> Tensor:
    """Mix the colours [N, 3, H, W] by a 3×3 matrix in 1/65536."""
    return F.conv2d(images, images.new_tensor(matrix).view(3, 3, 1, 1) / 65536)


def _dct(like: Tensor) -> Tensor:
    """Return the 8×8 matrix of the DCT-II, √8 times the orthonormal one, in libjpeg's fixed-point constants."""
    half = like.new_tensor(DCT)
    mirrored = half.flip(1) * half.new_tensor([1, -1] * 4).view(-1, 1)  # even rows are symmetric, odd ones turn sign
    return torch.cat([half, mirrored], dim=1) / 8192


def _compress(levels: Tensor, table: Tensor, quantised: Callable[[Tensor], Tensor]) -> Tensor:
    """Transform, quantise and transform back one kind of component, [N, C, H, W] in grey levels."""
    height, width = levels.shape[-2:]
    padded = F.pad(levels, (0, -width % BLOCK, 0, -height % BLOCK), mode="replicate")
    columns = padded.shape[-1] // BLOCK
    blocks = padded.reshape(len(levels), -1, BLOCK, columns, BLOCK).transpose(2, 3)  # [N, C·rows, columns, 8, 8]
    dct, steps = _dct(levels), table.to(levels).view(-1, 1, 1, BLOCK, BLOCK)
    # rows, then columns; in between libjpeg keeps quarters, and at the end eighths
    across = _descale(4 * ((blocks - 128) @ dct.T))
    coefficients = _descale(dct @ across / 4) / 8
    whole = quantised(coefficients / steps) * steps
    down = _descale(4 * (dct.T @ whole))
    decoded = _descale(down @ dct / (4 * BLOCK)) + 128
    grid = decoded.transpose(2, 3).reshape(padded.shape)
    return grid.clamp(0, 255)[..., :height, :width]


def _shrink(colours: Tensor, down: int, across: int) -> Tensor:
    """Average each group of pixels; libjpeg leans to one side and the other in turn when a mean falls between."""
    if across == 1:
        return colours
    height, width = colours.shape[-2:]
    # libjpeg fills the last block with pixels across, but with chroma samples down
    padded = F.pad(colours, (0, -width % (BLOCK * across), 0, -height % down), mode="replicate")
    means = F.avg_pool2d(padded, (down, across))
    lean = means.new_tensor([-1.0, 1.0]).repeat(means.shape[-1] // 2 + 1)[: means.shape[-1]] / (4 * down)
    return _descale(means + lean)


def _grow(colours: Tensor, down: int, across: int) -> Tensor:
    """Double the sides that were halved, by libjpeg's triangle filter: three parts the nearer, one the further."""
    if across == 1:
        return colours
    if down == 2:
        colours = _interleave(*_triangle(colours, dim=-2), dim=-2)
    left, right = _triangle(colours, dim=-1)
    lean = 1 / 32 if down == 2 else -1 / 8
    return _descale(_interleave(left + lean, right - lean, dim=-1))


def _triangle(colours: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Mix each sample with the one before it and with the one after it; the ends with themselves."""
    length = colours.shape[dim]
    places = torch.arange(length, device=colours.device)
    before = colours.index_select(dim, (places - 1).clamp(min=0))
    after = colours.index_select(dim, (places + 1).clamp(max=length - 1))
    return (3 * colours + before) / 4, (3 * colours + after) / 4


def _interleave(first: Tensor, second: Tensor, dim: int) -> Tensor:
    """Put two tensors' samples in turn along a dimension, counted from the end."""
    return torch.stack([first, second], dim=dim).flatten(dim - 1, dim)
