"""What is in a pairs database, in words and pictures."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from pairing.alignment.align import Pixels, read_aligned, read_pixels
from pairing.alignment.mask import mask_from_png
from pairing.build import reason_kind
from pairing.database import Pair, RoundTrip, Source, Stored, alignment_of

DIFFERENCE_FACTOR = 8  # by which the picture multiplies differences
PICTURE_SIDE_PX = 224  # pixels, of a picture's longer side
CAPTION_HEIGHT_PX = 16  # pixels, of a picture's caption
GREY, HIDDEN = 128, (255, 0, 255)


def summarise(platform: str, stored: Stored) -> Iterator[str]:
    """Tell in lines how many pairs there are, why others are not, and what the platform did to them."""
    rows = stored.session.scalars(stored.select(Pair).order_by(Pair.id)).all()
    found = [row for row in rows if row.accepted]
    yield f"{platform}: {len(found)} pairs accepted, {len(rows) - len(found)} rejected."
    for reason, count in Counter(reason_kind(row.reason) for row in rows if row.reason).most_common():
        yield f"  {count} {reason}"
    yield from _spread("scale", [row.scale_x for row in found], "")
    yield from _spread("residual", [row.residual for row in found], " grey levels")
    yield from _counted("resized by", (row.kernel for row in found if row.kernel))
    yield from _counted("turned back by", (row.turn for row in found if row.turn))
    marked = [row.watermark for row in found if row.watermark]
    yield f"  {len(marked)} with a watermark" + (f", on {statistics.fmean(marked):.1%} of each" if marked else "")


def _spread(what: str, numbers: Iterable[float | None], unit: str) -> Iterator[str]:
    known = [number for number in numbers if number is not None]
    if known:
        low, middle, high = min(known), statistics.median(known), max(known)
        yield f"  {what} {middle:.3g}{unit} in the middle, {low:.3g} to {high:.3g}"


def _counted(what: str, names: Iterable[str]) -> Iterator[str]:
    if counts := Counter(names):
        yield f"  {what} " + ", ".join(f"{name} ({count})" for name, count in counts.most_common())


def picture(stored: Stored, out: Path, worst: int) -> int:
    """Picture the accepted pairs of the largest residuals, and return how many: original, rendition, difference.

    What doesn't count is magenta. Raises FileNotFoundError when an image is gone.
    """
    chosen = stored.select(Source.name, Source.path, RoundTrip.path, Pair).where(Pair.accepted)
    rows = stored.session.execute(chosen.order_by(Pair.residual.desc().nulls_last(), Pair.id).limit(worst)).all()
    strips = [_strip(name, Path(original), Path(rendition), pair) for name, original, rendition, pair in rows]
    if strips:
        page = Image.new("RGB", (max(strip.width for strip in strips), sum(strip.height for strip in strips)), "white")
        top = 0
        for strip in strips:
            page.paste(strip, (0, top))
            top += strip.height
        out.parent.mkdir(parents=True, exist_ok=True)
        page.save(out)
    return len(strips)


def _strip(name: str, first: Path, second: Path, pair: Pair) -> Image.Image:
    original, alignment = read_pixels(first), alignment_of(pair)
    size = (original.shape[1], original.shape[0])
    rendition = read_aligned(second, size, alignment) if alignment else read_pixels(second, size)
    images = [original, rendition, _difference(original, rendition, pair.mask)]
    scale = min(1.0, PICTURE_SIDE_PX / max(size))
    small = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    strip = Image.new("RGB", (3 * PICTURE_SIDE_PX, small[1] + CAPTION_HEIGHT_PX), "white")
    for place, image in enumerate(images):
        shown = Image.fromarray(image).resize(small, Image.Resampling.BOX)
        strip.paste(shown, (place * PICTURE_SIDE_PX, CAPTION_HEIGHT_PX))
    caption = f"{name}   residual {pair.residual:.2f}   scale {pair.scale_x:.3f}   difference x{DIFFERENCE_FACTOR}"
    ImageDraw.Draw(strip).text((2, 2), caption, fill="black")
    return strip


def _difference(original: Pixels, rendition: Pixels, mask: bytes | None) -> Pixels:
    difference = GREY + DIFFERENCE_FACTOR * (rendition.astype(np.int16) - original)
    if mask is not None:
        difference[mask_from_png(mask)] = HIDDEN
    return difference.clip(0, 255).astype(np.uint8)
