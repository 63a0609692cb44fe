"""Masks: what of an original a rendition doesn't show."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pairing.alignment.canvas import Size
from pairing.alignment.registration import Alignment

Mask = NDArray[np.bool_]  # [H, W]

EDGE_TOLERANCE_PX = 0.01  # pixels that count as nothing


def on_original(stamped: Mask, alignment: Alignment, size: Size) -> Mask:
    """Mark the pixels of an original that a rendition doesn't show, or not whole."""
    left, top, right, bottom = alignment.box
    across, down = stamped.shape[1] / (right - left), stamped.shape[0] / (bottom - top)
    place = (across, 0, -left * across, 0, down, -top * down)
    under = Image.fromarray(stamped).convert("L").transform(size, Image.Transform.AFFINE, place)
    x, y = np.arange(size[0]), np.arange(size[1])
    shown_x = (x >= left - EDGE_TOLERANCE_PX) & (x + 1 <= right + EDGE_TOLERANCE_PX)
    shown_y = (y >= top - EDGE_TOLERANCE_PX) & (y + 1 <= bottom + EDGE_TOLERANCE_PX)
    return (np.asarray(under) > 0) | ~np.outer(shown_y, shown_x)


def mask_to_png(mask: Mask) -> bytes:
    """Pack a mask into a PNG of one bit a pixel."""
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    return file.getvalue()


def mask_from_png(mask: bytes) -> Mask:
    """Unpack what `mask_to_png` packed."""
    with Image.open(io.BytesIO(mask)) as image:
        return np.asarray(image.convert("1"))
