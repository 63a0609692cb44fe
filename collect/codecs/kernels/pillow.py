"""Pillow's kernels, which widen where they shrink an image; across first, rounded to whole grey levels, then down."""

from __future__ import annotations

from functools import partial

from PIL import Image

from collect.codecs.kernels import Edges, Kernel


def _resize(by: Image.Resampling, image: Image.Image, size: tuple[int, int], box: Edges | None = None) -> Image.Image:
    return image.resize(size, by, box)


KERNELS = {
    by.name.lower(): Kernel(
        partial(_resize, by), takes_box=True, is_product=True, software=f"Pillow's {by.name.lower()}"
    )
    for by in Image.Resampling
}
