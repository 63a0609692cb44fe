"""FFmpeg's scaler: a cubic with a weight of −0.6, which widens where it shrinks an image.

FFmpeg resizes in YCbCr, and truncates in ways that depend on the processor: ours comes near.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from collect.codecs.kernels import Kernel
from collect.codecs.steps.matrices import Matrix, weighed
from collect.codecs.steps.pixels import Levels, to_levels

SHARPNESS = 0.6


def _resize(image: Image.Image, size: tuple[int, int]) -> Levels:
    across, down = _matrix(image.width, size[0]), _matrix(image.height, size[1])
    levels: Levels = np.einsum("yh,hwc,xw->yxc", down, to_levels(image.convert("RGB")), across, optimize=True)
    return levels.clip(0, 255)


def _matrix(length: int, served: int) -> Matrix:
    step = length / served
    width = max(1.0, step)
    centres = (np.arange(served) + 0.5) * step - 0.5
    reach = int(np.ceil(2 * width))
    taps = (np.floor(centres) + np.arange(-reach, reach + 2)[:, None]).astype(np.intp)
    weights = _cubic(np.abs(taps - centres) / width)
    return weighed(length, taps, weights / weights.sum(0))


def _cubic(at: NDArray[np.float64]) -> NDArray[np.float64]:
    near = ((2 - SHARPNESS) * at - (3 - SHARPNESS)) * at**2 + 1
    far = SHARPNESS * (((5 - at) * at - 8) * at + 4)
    return np.where(at < 1, near, np.where(at < 2, far, 0))


KERNELS = {"swscale": Kernel(_resize, _matrix, software="ffmpeg")}
