"""What goes from one step of a chain to the next: an RGB image, or an array where a library keeps more than 8 bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Levels = NDArray[np.float64]  # [H, W, 3] grey levels from 0 to 255, with fractions
Pixels = Image.Image | Levels


def to_image(pixels: Pixels) -> Image.Image:
    """Return 8 bits a channel; fractions are rounded, halves up."""
    if isinstance(pixels, Image.Image):
        return pixels
    return Image.fromarray(np.floor(pixels + 0.5).clip(0, 255).astype(np.uint8))


def to_levels(pixels: Pixels) -> Levels:
    """Return the grey levels as an array."""
    return np.asarray(pixels, np.float64)
