"""To which size a step resizes an image: by a factor or into bounds, and how the sides are rounded."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

Size = tuple[int, int]  # width and height, pixels

LARGEST_SIDE = 16383  # pixels; WebP's limit, the smallest among the formats

ROUNDINGS: dict[str, Callable[[float], int]] = {
    "even": round,  # Python's and IEEE's: halves to the even number
    "half_up": lambda side: math.floor(side + 0.5),  # C's, JavaScript's and PHP's
    "floor": lambda side: math.floor(side + 1e-9),
    "ceiling": lambda side: math.ceil(side - 1e-9),
}
SIZE_STEPS = ("resize", "fit", "short", "width", "height", "box", "cover", "size")


@dataclass(frozen=True)
class SizeRule:
    """How a width and height become another.

    Args:
        by: `resize` multiplies both sides by a number; `fit` takes the longest side, `short` the shortest, `width` and
            `height` theirs to so many pixels; `box` fits into a width and height; `cover` fills them, and what is too
            much is cut off on both sides; `size` squashes to them.
        numbers: the factor, the pixels, or the width and height.
        rounding: of the sides that follow from others, a name of ROUNDINGS.
        enlarges: whether an image that is smaller grows; `resize` always may.
    """

    ROUNDINGS: ClassVar = ROUNDINGS

    by: str
    numbers: tuple[float, ...]
    rounding: str = "even"
    enlarges: bool = False

    def scaled(self, size: Size) -> Size:
        """Return the width and height of the whole image, before anything is cut off."""
        if self.by == "size":
            return int(self.numbers[0]), int(self.numbers[1])
        rounded = ROUNDINGS[self.rounding]
        width, height = (max(1, rounded(side * scale)) for side, scale in zip(size, self.scales(size), strict=True))
        return width, height

    def scales(self, size: Size) -> tuple[float, float]:
        """Return the factors of the width and the height before the sides are rounded; they differ for `size` only."""
        width, height = size
        first, last = self.numbers[0], self.numbers[-1]
        if self.by == "size":
            return first / width, last / height
        if self.by == "resize":
            return first, first
        scale = {
            "fit": first / max(size),
            "short": first / min(size),
            "width": first / width,
            "height": first / height,
            "box": min(first / width, last / height),
            "cover": max(first / width, last / height),
        }[self.by]
        scale = scale if self.enlarges else min(1.0, scale)
        return scale, scale

    def kept(self, scaled: Size) -> tuple[int, int, int, int] | None:
        """Return the part of the scaled image that is served: left, top, right, bottom; None: all of it."""
        if self.by != "cover":
            return None
        width, height = (min(side, int(most)) for side, most in zip(scaled, self.numbers, strict=True))
        left, top = (scaled[0] - width + 1) // 2, (scaled[1] - height + 1) // 2  # as sharp has it where a cut is odd
        return None if (width, height) == scaled else (left, top, left + width, top + height)

    def served(self, size: Size) -> Size:
        """Return the width and height that is served of an image's."""
        scaled = self.scaled(size)
        left, top, right, bottom = self.kept(scaled) or (0, 0, *scaled)
        return right - left, bottom - top
