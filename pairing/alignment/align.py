"""Set originals and renditions side by side, and prove by content that they belong together."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from pairing.alignment import watermark
from pairing.alignment.canvas import Canvas, Grey, Size, correlate, fitted, luma, weigh
from pairing.alignment.mask import Mask, mask_to_png, on_original
from pairing.alignment.orientation import luma_table, turned
from pairing.alignment.registration import Alignment, register
from params import Pairing

Pixels = NDArray[np.uint8]
File = Path | BytesIO  # on disk, or as a worker on another machine has it

MAX_STRETCH = 0.02  # by which the two sides' scales may differ: rounding to whole pixels, no more
MAX_CUT = 0.1  # of a side that may be cropped off or added at each of its ends
MAX_COVERED = 0.3  # of a rendition, by a watermark
AGAIN = 2  # times that a watermark is looked for once one is found
BLANK = 2.0  # grey levels; a luma that varies less shows nothing
MIN_CORRELATION = 0.8  # of what is not covered
MIN_DETAIL = 0.4  # correlation of what is finer than DETAIL_PX
TELLING_DETAIL_CORRELATION = 0.6  # from which it is that picture, though a codec left little: no other shares it
CERTAIN_CORRELATION = 0.98  # correlation from which the detail, which a codec may have smoothed away, need not tell
DETAIL_PX = 3.0  # pixels of the rendition


@dataclass(frozen=True)
class Measurement:
    """A pair, measured: how the rendition lies on its original, and how far it is from it."""

    width: int | None  # of the rendition as served, pixels; None where it can't be read
    height: int | None
    reason: str | None  # why the pair is not accepted
    scale_x: float | None = None  # rendition / original
    scale_y: float | None = None
    alignment: Alignment | None = None
    correlation: float | None = None  # of luma, of what is not covered
    watermark: float | None = None  # share of the rendition that it covers
    mask: bytes | None = None  # PNG, a bit a pixel of the original: 1 where it isn't shown; None: all of it is
    hash_distance: int | None = None  # bits of 64
    residual: float | None = None  # mean absolute difference of what is not covered, grey levels
    psnr: float | None = None  # of the same, dB; None when there is no difference at all


def read_pixels(file: File, size: Size | None = None) -> Pixels:
    """Read an image as [H, W, 3] RGB, uint8; brought to `size` (width, height) by Lanczos when it has another."""
    with Image.open(file) as image:
        rgb = image.convert("RGB")
    if size is not None and rgb.size != size:
        rgb = rgb.resize(size, Image.Resampling.LANCZOS)
    return np.asarray(rgb)


def read_aligned(file: File, size: Size, alignment: Alignment) -> Pixels:
    """Read a rendition as it lies on an original of a size, [H, W, 3]; resampled by Lanczos where it isn't already so.

    What the rendition doesn't show has the colour of its nearest edge.
    """
    if alignment.is_whole(size):
        return read_pixels(file, size)
    with Image.open(file) as image:
        upright = turned(image.convert("RGB"), alignment.turn)
    left, top, right, bottom = alignment.box
    across, down = upright.width / (right - left), upright.height / (bottom - top)
    box = (-left * across, -top * down, (size[0] - left) * across, (size[1] - top) * down)
    beyond = (-box[0], -box[1], box[2] - upright.width, box[3] - upright.height)
    before_x, before_y, after_x, after_y = (max(0, math.ceil(edge)) for edge in beyond)
    padded = np.pad(np.asarray(upright), ((before_y, after_y), (before_x, after_x), (0, 0)), mode="edge")
    placed = (box[0] + before_x, box[1] + before_y, box[2] + before_x, box[3] + before_y)
    return np.asarray(Image.fromarray(padded).resize(size, Image.Resampling.LANCZOS, box=placed))


def measure_pair(original: File, rendition: File, settings: Pairing) -> Measurement:
    """Measure a pair and accept or reject it.

    Raises OSError when a file can't be read as an image.
    """
    with Image.open(original) as image:
        first = image.convert("RGB")
    with Image.open(rendition) as second:
        served = second.size
        second.load()
        if luma(first).std() < BLANK:
            return Measurement(*served, "the original is blank: nothing tells its rendition from another")
        if luma(second).std() < BLANK:
            return Measurement(*served, "a blank placeholder")
        canvas = Canvas(first)
        alignment = register(first, second, canvas)
        seen = _compare(canvas, second, alignment)
    upright = turned(second, alignment.turn).size
    left, top, right, bottom = alignment.box
    mask = on_original(seen.stamped, alignment, first.size)
    pixels, shown = np.asarray(first), read_aligned(rendition, first.size, alignment)
    laid = shown
    if mask.any():
        laid = np.where(mask[..., None], pixels, shown)  # what is covered must not tell the pictures apart
        pixels, shown = pixels[~mask], shown[~mask]
    found = Measurement(
        *served,
        None,
        scale_x=upright[0] / (right - left),
        scale_y=upright[1] / (bottom - top),
        alignment=alignment,
        correlation=seen.correlation,
        watermark=float(seen.stamped.mean()),
        mask=mask_to_png(mask) if mask.any() else None,
        hash_distance=int(imagehash.phash(first) - imagehash.phash(Image.fromarray(laid))),
        residual=mean_absolute_difference(pixels, shown) if shown.size else None,
        psnr=psnr(pixels, shown) if shown.size else None,
    )
    return replace(found, reason=_reason(found, seen, first.size, settings))


def _reason(found: Measurement, seen: Seen, size: Size, settings: Pairing) -> str | None:
    """Tell why a pair can't be accepted; what is before the colon is one of a few kinds."""
    assert found.alignment and found.scale_x and found.scale_y
    assert found.correlation is not None and found.hash_distance is not None and found.watermark is not None
    edges = [edge / length for edge, length in zip(found.alignment.box, size * 2, strict=True)]
    inwards = [edges[0], edges[1], 1 - edges[2], 1 - edges[3]]
    cut, added = max(inwards), -min(inwards)
    distance, most = found.hash_distance, settings.max_hash_distance
    coarse = found.correlation < MIN_CORRELATION and seen.detail < TELLING_DETAIL_CORRELATION
    if coarse or (seen.detail < MIN_DETAIL and found.correlation < CERTAIN_CORRELATION):
        return f"another picture: correlation {found.correlation:.2f}, of the detail {seen.detail:.2f}"
    if cut > MAX_CUT:
        return f"cropped by more than {MAX_CUT:.0%} of a side: {cut:.0%}"
    if added > MAX_CUT:
        return f"padded by more than {MAX_CUT:.0%} of a side: {added:.0%}"
    if abs(found.scale_x - found.scale_y) > MAX_STRETCH * max(found.scale_x, found.scale_y):
        return f"stretched: {found.scale_x:.3f} times across, {found.scale_y:.3f} times down"
    if found.watermark > MAX_COVERED or found.residual is None:
        return f"too much is covered: {found.watermark:.0%} (at most {MAX_COVERED:.0%})"
    if distance > most:
        return f"another picture: perceptual hashes {distance} of 64 bits apart (at most {most})"
    residual = found.residual if found.alignment.kernel is None else seen.residual
    if residual > settings.max_residual:
        return f"too far off: {residual:.1f} grey levels on average (at most {settings.max_residual:g})"
    return None


@dataclass(frozen=True)
class Seen:
    """A rendition beside what it would be without its codec."""

    correlation: float  # of luma, where there is no watermark
    detail: float  # the same of what is finer than DETAIL_PX
    residual: float  # mean absolute difference of the same, grey levels, not counting the detail lost in a resize
    stamped: Mask  # [H, W] of the upright rendition: the watermark


def _compare(canvas: Canvas, rendition: Image.Image, alignment: Alignment) -> Seen:
    seen = luma(turned(rendition, alignment.turn))
    size = (seen.shape[1], seen.shape[0])
    kernel = alignment.kernel or "bicubic"
    shown, covered = canvas.show(alignment.box, size, kernel), canvas.covers(alignment.box, size)
    weights, _ = weigh(seen, shown, covered)
    table = luma_table(rendition, alignment.turn)
    stamped = watermark.find(fitted(shown, seen, weights), seen, covered, table)
    for _ in range(AGAIN if stamped.any() else 0):  # a large one has pulled the brightness
        weights, _ = weigh(seen, shown, covered * ~stamped)
        stamped = watermark.find(fitted(shown, seen, weights), seen, covered, table)
    clean = covered * ~stamped
    return Seen(
        correlate(shown, seen, clean),
        correlate(_detail(shown), _detail(seen), clean),
        float((clean * np.abs(shown - seen)).sum()) / max(float(clean.sum()), 1.0),
        stamped,
    )


def _detail(image: Grey) -> Grey:
    return np.asarray(image - ndimage.gaussian_filter(image, DETAIL_PX), np.float32)


def mean_absolute_difference(first: Pixels, second: Pixels) -> float:
    """Return the mean absolute difference of two images of one shape, grey levels."""
    return float(np.abs(first.astype(np.int16) - second).mean())


def psnr(first: Pixels, second: Pixels) -> float | None:
    """Return the peak signal-to-noise ratio of two images of one shape in dB; None when they are equal."""
    error = float(np.square(first.astype(np.int32) - second).mean())
    return 10 * float(np.log10(255**2 / error)) if error else None
