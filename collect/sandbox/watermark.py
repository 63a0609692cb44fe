"""A translucent stamp such as platforms put on photos, and where it lies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

TEXT = "@sandbox"
LETTER_HEIGHT_SHARE = 0.06  # height, as a share of the image's shorter side
MIN_LETTER_HEIGHT_PX = 6  # pixels
LIGHT_COLOUR, SHADOW_COLOUR = (255, 255, 255, 150), (0, 0, 0, 90)
MIN_VISIBLE_ALPHA = 16  # of 255; what is fainter changes a pixel by 16 grey levels at most


def add_watermark(image: Image.Image) -> Image.Image:
    """Return an RGB image with the stamp at its bottom right."""
    return Image.alpha_composite(image.convert("RGBA"), _layer(image.size)).convert("RGB")


def watermark_mask(size: tuple[int, int]) -> NDArray[np.bool_]:
    """Tell which pixels the stamp changes in an image of that width and height; shape (height, width)."""
    return np.asarray(_layer(size).getchannel("A")) >= MIN_VISIBLE_ALPHA


def _layer(size: tuple[int, int]) -> Image.Image:
    layer = Image.new("RGBA", size)
    height = max(MIN_LETTER_HEIGHT_PX, round(LETTER_HEIGHT_SHARE * min(size)))
    font = ImageFont.load_default(height)
    draw = ImageDraw.Draw(layer)
    right, bottom = size[0] - height // 2, size[1] - height // 2
    shift = max(1, height // 14)
    draw.text((right + shift, bottom + shift), TEXT, SHADOW_COLOUR, font, anchor="rb")
    draw.text((right, bottom), TEXT, LIGHT_COLOUR, font, anchor="rb")
    return layer
