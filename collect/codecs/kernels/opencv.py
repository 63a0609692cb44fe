"""OpenCV's resize: the mean of the area that a pixel covers, or between four pixels, however far these are apart."""

from __future__ import annotations

from functools import partial

import numpy as np
from PIL import Image

from collect.codecs.kernels import Kernel
from collect.codecs.steps.backends import backend


def _resize(interpolation: str, image: Image.Image, size: tuple[int, int]) -> Image.Image:
    cv2 = backend("cv2")
    pixels = np.asarray(image if image.mode == "F" else image.convert("RGB"))
    return Image.fromarray(cv2.resize(pixels, size, interpolation=getattr(cv2, interpolation)))


KERNELS = {
    f"opencv_{name.lower()}": Kernel(
        partial(_resize, f"INTER_{name}"), package="cv2", software=f"OpenCV, {name.lower()}"
    )
    for name in ("AREA", "LINEAR")
}
