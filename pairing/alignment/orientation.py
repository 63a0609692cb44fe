"""Turns and mirror images of a rendition, such as those of EXIF."""

from __future__ import annotations

from PIL import Image

from collect.thumbnails import shrink
from pairing.alignment.canvas import correlate, luma

Turn = Image.Transpose | None  # what sets a rendition upright

SIDE = 16  # pixels, of the thumbnails that are compared


def turned(image: Image.Image, turn: Turn) -> Image.Image:
    """Turn or mirror an image; None leaves it."""
    return image if turn is None else image.transpose(turn)


def likely_turns(original: Image.Image, rendition: Image.Image) -> list[Turn]:
    """List the turns under which a rendition looks most like its original, upright first."""
    first, second = (shrink(image, SIDE, "L") for image in (original, rendition))
    alike = {turn: correlate(luma(first), luma(turned(second, turn))) for turn in (None, *Image.Transpose)}
    return [turn for turn in alike if alike[turn] >= max(alike.values()) - 0.1]


def luma_table(rendition: Image.Image, turn: Turn = None) -> list[int] | None:
    """Return a JPEG's luma quantisation; None where it is no JPEG, or not as it was encoded."""
    table: list[int] | None = getattr(rendition, "quantization", {}).get(0)
    return table if turn is None else None
