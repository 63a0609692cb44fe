"""ImageMagick's -sharpen, in 16 bits; MediaWiki's thumbnails have it."""

from __future__ import annotations

import numpy as np

from collect.codecs.filters import Filter
from collect.codecs.steps.arguments import none_left, number
from collect.codecs.steps.pixels import Levels, Pixels
from collect.codecs.steps.quantum import convolved, from_quanta, reach, to_quanta


class GaussianSharpen(Filter):
    """Take a Gaussian, of sigma pixels, from the pixel itself. `-sharpen 0x0.4` is `gaussian_sharpen:0.4`."""

    usual = ("0.4", "0.5", "0.8", "1")  # MediaWiki's first
    forms = "gaussian_sharpen:SIGMA"

    def __init__(self, *arguments: str) -> None:
        sigma = number("gaussian_sharpen", "sigma", arguments[:1], 0.1, 100)
        none_left("gaussian_sharpen", arguments[1:])
        far = reach(sigma, 2)
        squares = np.arange(-far, far + 1.0) ** 2
        weights = -np.exp(-(squares[:, None] + squares) / (2 * sigma**2))
        weights[far, far] = -2 * weights.sum()
        self.weights = weights / weights.sum()

    def __call__(self, pixels: Pixels) -> Levels:
        return from_quanta(convolved(to_quanta(pixels), self.weights))
