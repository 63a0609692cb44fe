"""An original of which any part can be shown at any size, and what is compared with it."""

from __future__ import annotations

import io
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from collect.codecs.kernels import all_kernels

Grey = NDArray[np.float32]  # [H, W], grey levels
Box = tuple[float, float, float, float]  # left, top, right, bottom
Size = tuple[int, int]  # width, height

MARGIN = 0.3  # of the longer side, by which a rendition may reach beyond its original
SPREADS = 6.0  # of the residual, beyond which a pixel pulls less


class Canvas:
    """An original's luma, continued beyond its edges."""

    def __init__(self, image: Image.Image) -> None:
        self.size: Size = image.size
        self.margin = round(MARGIN * max(image.size)) + 1
        self.luma = np.pad(luma(image), self.margin, mode="edge")

    @cached_property
    def images(self) -> tuple[Image.Image, Image.Image, Image.Image]:
        """The luma, and its slopes across and down, which show how what is shown changes when its box moves."""
        down, across = np.gradient(self.luma)
        return Image.fromarray(self.luma), Image.fromarray(across), Image.fromarray(down)

    def show(self, box: Box, size: Size, kernel: str = "bicubic") -> Grey:
        """Resize a box to a width and height."""
        return self._show(0, box, size, kernel)

    def slopes(self, box: Box, size: Size, kernel: str) -> tuple[Grey, Grey]:
        """Return how what `show` gives changes a pixel of the original further right, and further down."""
        return self._show(1, box, size, kernel), self._show(2, box, size, kernel)

    def _show(self, which: int, box: Box, size: Size, kernel: str) -> Grey:
        image = self.images[which]
        left, top, right, bottom = (edge + self.margin for edge in box)
        width, height = image.size
        placed = (max(left, 0), max(top, 0), min(right, width), min(bottom, height))
        return np.asarray(all_kernels()[kernel].resize(image, size, placed))

    def covers(self, box: Box, size: Size) -> Grey:
        """Tell which pixels of a box shown at a size lie on the original: 1, others 0; [H, W]."""
        inside = []
        for axis in (1, 0):
            start, end = box[axis], box[axis + 2]
            place = start + (np.arange(size[axis]) + 0.5) * (end - start) / size[axis]
            inside.append((place > 0) & (place < self.size[axis]))
        return np.outer(*inside).astype(np.float32)


def luma(image: Image.Image) -> Grey:
    """Return an image's luma, [H, W]."""
    return np.asarray(image.convert("L"), np.float32)


def encoded(shown: Grey, table: list[int] | None) -> Grey:
    """Give an image what a JPEG of a luma table makes of it; without a table, nothing."""
    if table is None:
        return shown
    file = io.BytesIO()
    Image.fromarray(shown.clip(0, 255).round().astype(np.uint8)).save(file, "JPEG", qtables=[table])
    with Image.open(file) as image:
        return luma(image)


def correlate(first: Grey, second: Grey, weights: Grey | None = None) -> float:
    """Return the correlation of two images of one shape, -1 to 1; 0 where one of them is blank."""
    weights = np.ones_like(first) if weights is None else weights
    total = max(float(weights.sum()), 1.0)
    first, second = (image - float((weights * image).sum()) / total for image in (first, second))
    power = float((weights * first**2).sum()) * float((weights * second**2).sum())
    return float((weights * first * second).sum()) / power**0.5 if power > 1e-3 else 0.0


def fitted(shown: Grey, target: Grey, weights: Grey) -> Grey:
    """Give an image the brightness and contrast of another."""
    total = max(float(weights.sum()), 1.0)
    mean, goal = float((weights * shown).sum()) / total, float((weights * target).sum()) / total
    variance = float((weights * (shown - mean) ** 2).sum())
    gain = float((weights * (shown - mean) * (target - goal)).sum()) / variance if variance > 1e-3 else 1.0
    return gain * (shown - mean) + goal


def weigh(target: Grey, shown: Grey, covered: Grey) -> tuple[Grey, float]:
    """Weigh down pixels that differ too much for a codec, such as a watermark's, and tell from which residual on."""
    residual = np.abs(target - fitted(shown, target, covered))
    limit = SPREADS * max(1.4826 * float(np.median(residual[::2, ::2])), 0.5)
    return covered / (1 + (residual / limit) ** 2), limit


def loss(shown: Grey, target: Grey, weights: Grey, limit: float) -> float:
    """Return the mean of a loss that grows as the square up to about `limit`, and slowly beyond it.

    The weights serve to fit brightness and contrast, and leave out pixels where they are 0.
    """
    residual = (target - fitted(shown, target, weights)) / limit
    return float(np.log1p(residual[weights > 0] ** 2).mean())
