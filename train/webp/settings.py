"""The numbers that a macroblock's quantiser stands for: steps, rounding, and what a bit is worth in distortion.

Follows RFC 6386, 9.6, and libwebp's quant_enc.c with its default settings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from train.webp.analysis import STRENGTH, Segments
from train.webp.blocks import Quantiser
from train.webp.tables import AC_STEPS, DC_STEPS

PRECISION = 17  # bits of the reciprocals of steps
SHARPENING = torch.tensor((0, 30, 60, 90, 30, 60, 90, 90, 60, 90, 90, 90, 90, 90, 90, 90))  # of luma, in 1/2048 steps
ROUNDING = {"luma": (96, 110), "means": (96, 108), "chroma": (110, 115)}  # of DC and the rest, in 1/256
CHROMA_DC_SHIFT = -4 * STRENGTH // 100
CHROMA_DC_MOST = 117


class Settings(NamedTuple):
    """What some macroblocks are coded with, each [..., M]."""

    luma: Quantiser
    means: Quantiser
    chroma: Quantiser
    small_bits: Tensor  # what 1/256 bit is worth in 1/256 squared errors: for blocks' modes,
    large_bits: Tensor  # for macroblocks' modes,
    chroma_bits: Tensor  # for colour's modes,
    mode_bits: Tensor  # and for the choice between the first two
    spectral: Tensor  # the weight of spectral distortion, in 1/256
    least_distortion: Tensor  # above which a macroblock that has means alone is filtered more

    def select(self, macroblocks: Tensor) -> Settings:
        """Return those of some macroblocks, [..., K · N], of settings [..., macroblocks, N]."""

        def pick(each: Tensor) -> Tensor:
            return each.index_select(-2, macroblocks).flatten(-2)

        return self._map(pick)

    def twice(self) -> Settings:
        """Return those of [..., M] for twice as many."""
        return self._map(lambda each: torch.cat([each, each], dim=-1))

    def _map(self, change: Callable[[Tensor], Tensor]) -> Settings:
        luma, means, chroma, *others = self
        luma, means, chroma = (Quantiser(*map(change, each)) for each in (luma, means, chroma))
        return Settings(luma, means, chroma, *map(change, others))


def settings(segments: Segments) -> Settings:
    """Look up the settings of all macroblocks, [..., macroblocks, N]."""
    device = segments.of.device
    quantisers = segments.quantisers.gather(0, segments.of)
    dc, ac = DC_STEPS.to(device), AC_STEPS.to(device)
    chroma_dc = dc[(quantisers + CHROMA_DC_SHIFT).clamp(0, CHROMA_DC_MOST)]
    chroma_ac = ac[(quantisers + segments.chroma).clamp(0, 127)]
    luma, small = _quantiser(dc[quantisers], ac[quantisers], "luma")
    means, large = _quantiser(2 * dc[quantisers], (ac[quantisers] * 155 // 100).clamp(min=8), "means")
    chroma, colour = _quantiser(chroma_dc, chroma_ac, "chroma")
    worth = (3 * small**2 >> 7, 3 * large**2, 3 * colour**2 >> 6, small**2 >> 7, STRENGTH * small >> 5)
    least = (20 * dc[quantisers]).float()
    small_bits, large_bits, chroma_bits, mode_bits, spectral = (each.clamp(min=1).double() for each in worth)
    return Settings(luma, means, chroma, small_bits, large_bits, chroma_bits, mode_bits, spectral, least)


def _quantiser(dc: Tensor, ac: Tensor, kind: str) -> tuple[Quantiser, Tensor]:
    """Return a quantiser with these steps, [16, …], and its mean step."""
    shape = (16, *(1,) * dc.dim())
    is_ac = (torch.arange(16, device=dc.device) > 0).view(shape)
    step = torch.where(is_ac, ac, dc)
    reciprocal = 2**PRECISION // step
    rounding = torch.where(is_ac, ROUNDING[kind][1], ROUNDING[kind][0]) << PRECISION - 8
    added = SHARPENING.to(dc.device).view(shape) * step >> 11 if kind == "luma" else torch.zeros_like(step)
    offset = (added * reciprocal + rounding).float() / 2**PRECISION
    return Quantiser(step.float(), reciprocal.float() / 2**PRECISION, offset), (dc + 15 * ac + 8) >> 4
