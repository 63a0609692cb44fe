"""Crops of one photo, for tests."""

import numpy as np
from PIL import Image
from skimage import data

PHOTO = data.astronaut()  # 512x512 RGB


def photo_crop(index: int, side: int) -> Image.Image:
    top, left = np.random.default_rng(index).integers(0, 512 - 2 * side, 2)
    crop = Image.fromarray(PHOTO[top : top + 2 * side, left : left + 2 * side])
    return crop.resize((side, side), Image.Resampling.LANCZOS)
