"""Set originals and renditions side by side, and prove by content that they belong together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from params import Pairing

Pixels = NDArray[np.uint8]

MOST_STRETCH = 0.02  # by which the two sides' scales may differ: rounding to whole pixels, no more


@dataclass(frozen=True)
class Measurement:
    """A pair, measured: the rendition's size and scale, and how far it is from its original."""

    width: int  # of the rendition as served, pixels
    height: int
    scale_x: float  # rendition / original
    scale_y: float
    hash_distance: int | None  # bits of 64
    residual: float | None  # mean absolute difference, grey levels
    psnr: float | None  # dB; None when there is no difference at all
    reason: str | None  # why the pair is not accepted


def read_pixels(file: Path, size: tuple[int, int] | None = None) -> Pixels:
    """Read an image as [H, W, 3] RGB, uint8; brought to `size` (width, height) by Lanczos when it has another."""
    with Image.open(file) as image:
        rgb = image.convert("RGB")
    if size is not None and rgb.size != size:
        rgb = rgb.resize(size, Image.Resampling.LANCZOS)
    return np.asarray(rgb)


def measure(original: Path, rendition: Path, settings: Pairing) -> Measurement:
    """Measure a pair and accept or reject it.

    Raises OSError when a file can't be read as an image.
    """
    first = read_pixels(original)
    height, width = first.shape[:2]
    with Image.open(rendition) as image:
        served = image.size
    scale_x, scale_y = served[0] / width, served[1] / height
    if abs(scale_x - scale_y) > MOST_STRETCH * max(scale_x, scale_y):
        stretched = f"stretched or cropped: {width}×{height} came back as {served[0]}×{served[1]}"
        return Measurement(*served, scale_x, scale_y, None, None, None, stretched)
    second = read_pixels(rendition, (width, height))
    distance = int(imagehash.phash(Image.fromarray(first)) - imagehash.phash(Image.fromarray(second)))
    residual = mean_absolute_difference(first, second)
    reason: str | None = None
    if distance > settings.max_hash_distance:
        reason = (
            f"another picture: perceptual hashes {distance} of 64 bits apart (at most {settings.max_hash_distance})"
        )
    elif residual > settings.max_residual:
        reason = f"too far off: {residual:.1f} grey levels on average (at most {settings.max_residual:g})"
    return Measurement(*served, scale_x, scale_y, distance, residual, psnr(first, second), reason)


def mean_absolute_difference(first: Pixels, second: Pixels) -> float:
    """Return the mean absolute difference of two images of one shape, grey levels."""
    return float(np.abs(first.astype(np.int16) - second).mean())


def psnr(first: Pixels, second: Pixels) -> float | None:
    """Return the peak signal-to-noise ratio of two images of one shape in dB; None when they are equal."""
    error = float(np.square(first.astype(np.int32) - second).mean())
    return 10 * float(np.log10(255**2 / error)) if error else None
