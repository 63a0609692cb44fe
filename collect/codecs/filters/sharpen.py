"""Pillow's 3×3 sharpening."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from collect.codecs.filters import Filter
from collect.codecs.steps.arguments import none_left, number
from collect.codecs.steps.pixels import Pixels, to_image


class Sharpen(Filter):
    """Add `amount` times the difference from a copy blurred by (1 2 1, 2 4 2, 1 2 1)/16; the edges stay."""

    forms = "sharpen:AMOUNT"

    def __init__(self, *arguments: str) -> None:
        amount = number("sharpen", "amount", arguments[:1], 0, 10)
        none_left("sharpen", arguments[1:])
        edge, side = -amount / 16, -2 * amount / 16
        self.weights = np.array([[edge, side, edge], [side, 1 + 12 * amount / 16, side], [edge, side, edge]])

    def __call__(self, pixels: Pixels) -> Image.Image:
        return to_image(pixels).filter(ImageFilter.Kernel((3, 3), self.weights.ravel().tolist(), scale=1))
