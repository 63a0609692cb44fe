"""libvips' resize, as vips, sharp and what builds on them do it: Lanczos, down first, 8 bits between."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from collect.codecs.kernels import Kernel
from collect.codecs.steps.backends import backend
from collect.codecs.steps.matrices import weighed

LOBES = 3
PHASES = 64  # positions between two pixels that libvips tells apart
GAP = 2  # libvips averages whole pixels first where as much of the shrinking is left for Lanczos


def _resize(image: Image.Image, size: tuple[int, int], scales: tuple[float, float] | None = None) -> Image.Image:
    pixels = backend("pyvips").Image.new_from_array(np.asarray(image.convert("RGB")))
    wide, high = map(_scale, image.size, size, scales or (None, None))
    return Image.fromarray(pixels.resize(wide, vscale=high).numpy())


def _scale(length: int, served: int, scale: float | None) -> float:
    """Return a scale that libvips rounds to the length served."""
    return scale if scale and int(length * scale + 0.5) == served else served / length


def _matrix(length: int, served: int, scale: float | None = None) -> NDArray[np.float32]:
    step, places = 1 / _scale(length, served, scale), np.arange(served, dtype=np.float64)
    if step < 1:
        return _weighed(_bicubic, length, 1, places * step - 0.5)
    whole = max(1, int(step / GAP))
    boxes = -(-length // whole)
    covered = np.arange(boxes * whole).reshape(boxes, whole).T
    averaged = weighed(length, covered, np.full(covered.shape, 1 / whole))
    unused = length - served * step
    centres = ((places + 0.5) * step + unused / 2) / whole - 0.5
    return _weighed(_lanczos, boxes, step / whole, centres) @ averaged


def _weighed(
    kernel: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    length: int,
    width: float,
    centres: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Return the matrix of a kernel, `width` times as wide as it is by itself; beyond the edges stand their pixels."""
    centres = np.floor(centres * PHASES + 0.5) / PHASES
    reach = int(np.ceil(LOBES * width))
    taps = (np.floor(centres) + np.arange(-reach, reach + 2)[:, None]).astype(np.intp)
    weights = kernel((taps - centres) / width)
    return weighed(length, taps, weights / weights.sum(0))


def _lanczos(at: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.abs(at) < LOBES, np.sinc(at) * np.sinc(at / LOBES), 0)


def _bicubic(at: NDArray[np.float64]) -> NDArray[np.float64]:
    far = np.abs(at)
    near = (1.5 * far - 2.5) * far**2 + 1
    return np.where(far < 1, near, np.where(far < 2, ((-0.5 * far + 2.5) * far - 4) * far + 2, 0))


KERNELS = {"libvips": Kernel(_resize, _matrix, takes_scales=True, package="pyvips", software="libvips or sharp")}
