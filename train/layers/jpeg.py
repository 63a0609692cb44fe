"""A differentiable JPEG that follows libjpeg-turbo step by step.

Rounds wherever libjpeg rounds (jccolor.c, jcsample.c, jfdctint.c, jcdctmgr.c, jidctint.c, jdsample.c, jdcolor.c), so
that its hard forward pass is the real decoder's output but for a few pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from train.layers.transforms import BLOCK, FIXED_POINT, LIBJPEG_TO_RGB, LIBJPEG_TO_YCC, libjpeg_dct_matrix

Sampling = Literal["4:4:4", "4:2:2", "4:2:0", "grey"]
Rounding = Literal["straight_through", "cubic", "smooth"]
Quantiser = Callable[[Tensor], Tensor]
HALVED = {"4:4:4": (1, 1), "4:2:2": (1, 2), "4:2:0": (2, 2)}  # pixels a chroma sample stands for, down and across


def jpeg(
    images: Tensor,
    luma: Tensor,
    chroma: Tensor | None = None,
    *,
    sampling: Sampling = "4:2:0",
    rounding: Rounding = "straight_through",
    biases: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Encode and decode images as libjpeg-turbo does.

    Args:
        images: float32 or float64 [N, 3, H, W] in [0, 1], or [N, 1, H, W] for grey; any H and W.
        luma: quantisation table, [8, 8] or [N, 8, 8], in rows and columns (not zigzag), 1 and more.
        chroma: the same for colour; needed unless grey.
        rounding: of the quantised coefficients; everything else is rounded straight through.
        biases: what is added to the size of luma's and chroma's coefficients, [8, 8] each, before their fraction is
            cut off: 0.5 in libjpeg, less where an encoder has a dead zone; with the gradient of the identity.

    Returns:
        float, the images' shape, in [0, 1]; whole grey levels over 255 with `straight_through`.
    """
    if chroma is None and sampling != "grey":
        raise ValueError("colour needs a chroma table")
    with torch.autocast(images.device.type, enabled=False):  # bfloat16 keeps 8 of the 24 bits that count here
        levels = _round(images * 255)
        if chroma is None or sampling == "grey":
            return (_compress(levels - 128, luma, ROUNDINGS[rounding]) + 128) / 255
        quantisers = (ROUNDINGS[rounding],) * 2 if biases is None else (_cut_off(biases[0]), _cut_off(biases[1]))
        return _colour(levels, luma, chroma, *HALVED[sampling], quantisers) / 255


class StraightThrough(torch.autograd.Function):
    """Give other values, with the gradient of the identity."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, values: Tensor) -> Tensor:  # noqa: ARG004
        return values

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        return gradients[0], None


def straight_through(x: Tensor) -> Tensor:
    """Round halves away from zero, as libjpeg's quantiser does, with the gradient of the identity."""
    half = torch.copysign(x.new_tensor(0.5), x.detach())
    rounded: Tensor = StraightThrough.apply(x, half.add_(x.detach()).trunc_())
    return rounded


def cubic(x: Tensor) -> Tensor:
    """Round, plus the cube of what rounding took away (Shin and Song, 2017)."""
    nearest = torch.round(x).detach()
    return nearest + (x - nearest) ** 3


def smooth(x: Tensor) -> Tensor:
    """Bend the identity towards whole numbers by a sine; its gradient is 0 at them and 2 half-way."""
    return x - torch.sin(2 * math.pi * x) / (2 * math.pi)


ROUNDINGS: dict[Rounding, Quantiser] = {
    "straight_through": straight_through,
    "cubic": cubic,
    "smooth": smooth,
}


def _cut_off(bias: Tensor) -> Quantiser:
    def quantised(x: Tensor) -> Tensor:
        """Cut off the fractions of coefficients [N, rows of blocks, 8, W]."""
        added = torch.copysign(bias.to(x).repeat(1, x.shape[-1] // BLOCK), x.detach())
        rounded: Tensor = StraightThrough.apply(x, added.add_(x.detach()).trunc_())
        return rounded

    return quantised


def _round(x: Tensor) -> Tensor:
    """Round halves up, as libjpeg's shifts do, with the gradient of the identity."""
    rounded: Tensor = StraightThrough.apply(x, (x.detach() + 0.5).floor_())
    return rounded


def unquantised(levels: Tensor, luma: Tensor, chroma: Tensor, down: int, across: int) -> tuple[Tensor, Tensor]:
    """Return the coefficients that a JPEG encoder would round, in steps; nothing is rounded on the way to them.

    Args:
        levels: [1, 3, H, W] grey levels from 0 to 255.

    Returns:
        luma's [1, rows, columns, 8, 8] and chroma's [2, …]: blocks, and in each down and across.
    """
    to_ycc = levels.new_tensor(LIBJPEG_TO_YCC) / FIXED_POINT
    ycc = torch.einsum("kc,nchw->nkhw", to_ycc, levels)
    height, width = levels.shape[-2:]
    padded = _pad(ycc, -width % (BLOCK * across), -height % (BLOCK * down))
    small = F.avg_pool2d(padded[:, 1:], (down, across))
    planes = (padded[0, :1] - 128, luma), (small[0], chroma)
    dct = libjpeg_dct_matrix(levels) / math.sqrt(BLOCK)
    y, colours = (dct @ _blocks(plane) @ dct.T / table.to(levels) for plane, table in planes)
    return y, colours


def _blocks(planes: Tensor) -> Tensor:
    count, height, width = planes.shape
    return planes.view(count, height // BLOCK, BLOCK, width // BLOCK, BLOCK).transpose(2, 3)


def _mix(images: Tensor, matrix: tuple[tuple[int, ...], ...], offset: tuple[float, ...]) -> Tensor:
    """Mix the colours [N, 3, H, W] by a 3×3 matrix in 1/65536, and add to each an offset."""
    weights = (images.new_tensor(matrix) / FIXED_POINT).expand(len(images), 3, 3)
    # many times as fast on a CPU as a 1×1 convolution
    return torch.baddbmm(images.new_tensor(offset).view(3, 1), weights, images.flatten(2)).view(images.shape)


def _colour(
    levels: Tensor, luma: Tensor, chroma: Tensor, down: int, across: int, quantisers: tuple[Quantiser, Quantiser]
) -> Tensor:
    """Compress colour, [N, 3, H, W] in grey levels, a chroma sample standing for `down` × `across` pixels."""
    height, width = levels.shape[-2:]
    halves_down = -1 / FIXED_POINT  # as libjpeg rounds chroma
    ycc = _round(_mix(levels, LIBJPEG_TO_YCC, (-128, halves_down, halves_down)))
    y = _compress(ycc[:, :1], luma, quantisers[0])
    colours = _compress(_shrink(ycc[:, 1:], down, across), chroma, quantisers[1])
    colours = _grow(colours[..., : math.ceil(height / down), : math.ceil(width / across)], down, across)
    rgb = _mix(torch.cat([y, colours[..., :height, :width]], dim=1), LIBJPEG_TO_RGB, (128, 128, 128))
    return _round(rgb).clamp(0, 255)


def _compress(levels: Tensor, table: Tensor, quantised: Quantiser) -> Tensor:
    """Transform, quantise and transform back one kind of component, [N, C, H, W] in grey levels less 128."""
    height, width = levels.shape[-2:]
    padded = _pad(levels, -width % BLOCK, -height % BLOCK)
    columns = padded.shape[-1]
    dct, steps = libjpeg_dct_matrix(levels), table.to(levels).view(-1, 1, BLOCK, BLOCK).tile(columns // BLOCK)
    # rows by a product from the right, columns by one from the left: no pixel changes its place
    # in between libjpeg keeps quarters, and at the end eighths
    across = _round(padded.reshape(-1, BLOCK) @ (4 * dct.T))
    coefficients = _round(_from_left(dct / 4, across.view(-1, BLOCK, columns)))
    whole = quantised(coefficients.view(len(levels), -1, BLOCK, columns) / (8 * steps)) * steps
    down = _round(_from_left(4 * dct.T, whole.view(-1, BLOCK, columns)))
    decoded = _round(down.view(-1, BLOCK) @ (dct / (4 * BLOCK)))
    return decoded.view(padded.shape)[..., :height, :width].clamp(-128, 127)


def _from_left(matrix: Tensor, strips: Tensor) -> Tensor:
    return torch.bmm(matrix.expand(len(strips), *matrix.shape), strips)


def _pad(images: Tensor, right: int, bottom: int) -> Tensor:
    """Repeat the last column and row."""
    return F.pad(images, (0, right, 0, bottom), mode="replicate") if right or bottom else images


def _shrink(colours: Tensor, down: int, across: int) -> Tensor:
    """Average each group of pixels; libjpeg leans to one side and the other in turn when a mean falls between."""
    if across == 1:
        return colours
    height, width = colours.shape[-2:]
    # libjpeg fills the last block with pixels across, but with chroma samples down
    means = F.avg_pool2d(_pad(colours, -width % (BLOCK * across), -height % down), (down, across))
    lean = means.new_tensor([-1.0, 1.0]).tile(means.shape[-1] // 2) / (4 * down)
    return _round(means + lean)


def _grow(colours: Tensor, down: int, across: int) -> Tensor:
    """Double the sides that were halved; libjpeg's triangle filter is the bilinear one, but leans as it rounds."""
    if across == 1:
        return colours
    height, width = colours.shape[-2:]
    grown = F.interpolate(colours, (down * height, across * width), mode="bilinear")
    lean = grown.new_tensor([1 / 32, -1 / 32] if down == 2 else [-1 / 8, 1 / 8]).tile(width)
    return _round(grown + lean)
