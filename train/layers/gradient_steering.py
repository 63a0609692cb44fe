"""The gradient of a block codec, steered to the coefficients that are near to being rounded the other way."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from train.layers.transforms import TO_YCC, dct_matrix

GREY_LEVELS = 255


class Quantisation(NamedTuple):
    """How an encoder quantises: blocks of a side, of luma and of colours shrunk by `halved` (down, across).

    `steps` are those of luma and of chroma in the order of the orthonormal DCT, [N, side, side] grey levels each;
    None: not known.
    """

    side: int
    halved: tuple[int, int]
    steps: tuple[Tensor, Tensor] | None = None


def steer(images: Tensor, served: Tensor, quantisation: Quantisation) -> Tensor:
    """Return `served`, differentiable by the images that the encoder was given.

    Rounding has no gradient, and the straight-through one promises as much for a coefficient that stays where it was
    rounded to as for one that is about to change. Here each coefficient's share is weighted by what rounding took from
    it: 1 - cos(2π lost / step), which is 0 on a level and 2 half-way to the next (the sine's gradient of
    `train.layers.jpeg.smooth`), or |lost| where the steps are not known. What was lost is read off the two images, so
    that this holds for any encoder that transforms in blocks, whatever it predicts.

    Args:
        images: float [N, 3, H, W] in [0, 1].
        served: the same shape, what the encoder and decoder made of them.
    """
    steered: Tensor = _Steered.apply(images, served, quantisation)
    return steered


class _Steered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, served: Tensor, quantisation: Quantisation) -> Tensor:
        ctx.save_for_backward(images - served)
        ctx.quantisation = quantisation
        return served

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (lost,) = ctx.saved_tensors
        with torch.autocast(lost.device.type, enabled=False):
            return _steered_gradient(gradients[0].float(), GREY_LEVELS * lost.float(), ctx.quantisation), None, None


def _steered_gradient(gradient: Tensor, lost: Tensor, quantisation: Quantisation) -> Tensor:
    to_ycc = gradient.new_tensor(TO_YCC)
    by_ycc = torch.einsum("ji,njhw->nihw", torch.linalg.inv(to_ycc), gradient)
    lost = torch.einsum("ij,njhw->nihw", to_ycc, lost)
    height, width = gradient.shape[-2:]
    pad = (0, -width % (2 * quantisation.side), 0, -height % (2 * quantisation.side))
    by_ycc, lost = (F.pad(each, pad, mode="replicate") for each in (by_ycc, lost))
    luma_steps, chroma_steps = quantisation.steps or (None, None)
    luma = _weight_coefficients(by_ycc[:, :1], lost[:, :1], quantisation.side, luma_steps)
    small, small_lost = (F.avg_pool2d(each[:, 1:], quantisation.halved) for each in (by_ycc, lost))
    chroma = _weight_coefficients(small, small_lost, quantisation.side, chroma_steps)
    for axis, times in zip((2, 3), quantisation.halved, strict=True):
        chroma = chroma.repeat_interleave(times, dim=axis)
    back = torch.einsum("ij,nihw->njhw", to_ycc, torch.cat([luma, chroma], dim=1))
    return back[..., :height, :width]


def _weight_coefficients(gradient: Tensor, lost: Tensor, side: int, steps: Tensor | None) -> Tensor:
    """Weight the coefficients of a gradient [N, C, H, W], sides multiples of `side`, by what they lost."""
    dct = dct_matrix(side, gradient)
    coefficients, errors = (dct @ _blocks(each, side) @ dct.T for each in (gradient, lost))
    if steps is None:
        weights = errors.abs()
    else:
        weights = 1 - torch.cos(2 * math.pi * errors / steps.view(-1, 1, 1, 1, side, side))
    blocks = dct.T @ (coefficients * weights) @ dct
    return blocks.transpose(3, 4).reshape(gradient.shape)


def _blocks(planes: Tensor, side: int) -> Tensor:
    """Cut [N, C, H, W] into [N, C, H / side, W / side, side, side]."""
    count, channels, height, width = planes.shape
    return planes.view(count, channels, height // side, side, width // side, side).transpose(3, 4)
