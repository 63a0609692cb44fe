"""What pairs of files reveal before any search: pixels, sizes, formats and quantisation tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, JpegImagePlugin
from scipy import ndimage

from collect import codecs
from collect.codecs import quantisation
from collect.codecs.kernels import SizeRule
from collect.images import Unusable, decoding
from pairing.alignment import mask_from_png, measure_pair
from params import Pairing, UserError

Size = tuple[int, int]  # width and height, pixels
Steps = tuple[int, ...]  # a quantisation table, row by row

UNIT = 16  # pixels, the largest block that an encoder of subsampled chroma codes at once
TURNED = 5  # EXIF orientations from this on swap width and height
MOST_DECIMALS = 6  # of a scale
ROUND_DECIMALS = 2  # of one that a person would choose


@dataclass(frozen=True)
class Header:
    """What a pair's two files tell without being decoded; sizes are those of the upright images."""

    original: Path
    rendition: Path
    sizes: tuple[Size, Size]
    format: str
    payload: int  # the rendition's bytes, but for its colour profile
    # of a JPEG: luma and chroma; luma alone in grey; none if no encoder here could write them
    tables: tuple[Steps, ...] = ()
    mask: bytes | None = None  # as pairing has it: what of the original the rendition doesn't show; None: it shows all

    @property
    def is_resized(self) -> bool:
        """Tell whether the rendition has another size than its original."""
        return self.sizes[0] != self.sizes[1]

    @property
    def bytes_a_pixel(self) -> float:
        """Return the bytes a pixel of the rendition."""
        return self.payload / math.prod(self.sizes[1])


@dataclass(frozen=True, eq=False)
class Observed:
    """A pair's images, upright and in RGB, with what its files told."""

    header: Header
    original: Image.Image
    rendition: Image.Image

    def error(self, image: Image.Image) -> float:
        """Measure how far an image is from the rendition, in grey levels; one of another size is scaled to it.

        What a watermark covers doesn't count.
        """
        difference = self._difference(image)
        return float(difference.mean() if self.counts is None else difference[self.counts].mean())

    def whole_error(self, image: Image.Image) -> float:
        """Measure the same with what a watermark covers."""
        return float(self._difference(image).mean())

    def _difference(self, image: Image.Image) -> NDArray[np.int16]:
        if image.size != self.rendition.size:
            image = image.resize(self.rendition.size, Image.Resampling.LANCZOS)
        return np.asarray(np.abs(_pixels(image) - _pixels(self.rendition)))

    @cached_property
    def counts(self) -> NDArray[np.bool_] | None:
        """Tell which pixels of the rendition are the original's, [H, W]; None: all are."""
        if self.header.mask is None:
            return None
        hidden = Image.fromarray(mask_from_png(self.header.mask)).convert("L")
        hidden = hidden.resize(self.rendition.size, Image.Resampling.BOX)
        # an encoder smears what it covers over whole blocks, and chroma's interpolation over their neighbours
        spread = ndimage.maximum_filter(np.asarray(hidden) > 0, size=3)
        height, width = spread.shape
        padded = np.pad(spread, ((0, -height % UNIT), (0, -width % UNIT)))
        blocks = padded.reshape(padded.shape[0] // UNIT, UNIT, padded.shape[1] // UNIT, UNIT).any((1, 3))
        covered = ndimage.maximum_filter(blocks.repeat(UNIT, 0).repeat(UNIT, 1)[:height, :width], size=5)
        return None if covered.all() else ~covered

    @cached_property
    def identity_error(self) -> float:
        """Return the error of the original itself, as it was uploaded."""
        return self.error(self.original)

    @cached_property
    def is_flat(self) -> bool:
        """Tell whether a pair tells nothing: the original has one colour all over."""
        return bool((np.ptp(np.asarray(self.original), axis=(0, 1)) == 0).all())


def read_header(original: Path, rendition: Path, mask: bytes | None = None) -> Header:
    """Read the files' headers, and take a mask that pairing found.

    Raises UserError for a file that is no image, or an original too large to encode.
    """
    with _open(original) as first:
        size = _upright(first)
    if max(size) > codecs.LARGEST_SIDE:
        raise UserError(
            f"{original} is {size[0]}x{size[1]} pixels, and a side may have at most {codecs.LARGEST_SIDE}."
            " Take it and its partner away."
        )
    with _open(rendition) as second:
        payload = rendition.stat().st_size - len(second.info.get("icc_profile") or b"")
        header = Header(original, rendition, (size, _upright(second)), second.format or "", payload, mask=mask)
        if not isinstance(second, JpegImagePlugin.JpegImageFile):
            return header
        tables = tuple(tuple(second.quantization[key]) for key in sorted(second.quantization)[:2])
        if not all(1 <= step <= quantisation.LARGEST_STEP for table in tables for step in table):
            tables = ()
        return replace(
            header,
            format="JPEG",  # Pillow calls some of them MPO
            tables=tables * 2 if len(tables) == 1 and second.mode != "L" else tables,
        )


def read_pair(header: Header) -> Observed:
    """Decode a pair; raise UserError when a file is damaged."""
    return Observed(header, read_upright(header.original), read_upright(header.rendition))


def with_mask(header: Header) -> Header:
    """Look for a watermark, as pairing does; raise UserError when a file is damaged."""
    try:
        with decoding():
            return replace(header, mask=measure_pair(header.original, header.rendition, Pairing()).mask)
    except Unusable as error:
        raise _unreadable(header.rendition, error) from None


def read_upright(file: Path) -> Image.Image:
    """Read a file as an upright RGB image without metadata; raise UserError when it is damaged."""
    with _open(file) as opened:
        try:
            with decoding():
                image = ImageOps.exif_transpose(opened).convert("RGB")
        except Unusable as error:
            raise _unreadable(file, error) from None
    image.info = {}
    return image


def _open(file: Path) -> Image.Image:
    try:
        with decoding():
            return Image.open(file)
    except Unusable as error:
        raise _unreadable(file, error) from None


def _unreadable(file: Path, error: Exception) -> UserError:
    return UserError(f"{file} can't be read as an image ({error}). Mend it, or take it and its partner away.")


def _upright(image: Image.Image) -> Size:
    is_turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= TURNED
    return (image.height, image.width) if is_turned else image.size


def _pixels(image: Image.Image) -> NDArray[np.int16]:
    return np.asarray(image).astype(np.int16)


def resize_rules(sizes: Sequence[tuple[Size, Size]]) -> list[str]:
    """List the resize steps, but for the kernel, that explain all pairs' sizes, the likeliest first.

    An empty step stands for no resizing; an empty list, for sizes that no step explains. Of one rule's roundings that
    explain the sizes, the first of ROUNDINGS is listed.
    """
    changed = [after for before, after in sizes if before != after]
    if not changed:
        return [""]
    widths, heights = zip(*changed, strict=True)
    bounds = tuple(max(after[axis] for _, after in sizes) for axis in (0, 1))
    numbers: dict[str, tuple[float, ...]] = {
        "fit": (max(map(max, changed)),),
        "width": (max(widths),),
        "height": (max(heights),),
        "short": (max(map(min, changed)),),
        "box": bounds,
        "cover": bounds,
    }
    found = []
    for by, pixels in numbers.items():
        steps = (
            (
                f"{by}:{'x'.join(map(str, pixels))}{_option(rounding)}{enlarge}",
                SizeRule(by, pixels, rounding, bool(enlarge)),
            )
            for enlarge in ("", ":enlarge")
            for rounding in SizeRule.ROUNDINGS
        )
        explaining = (step for step, rule in steps if _explains(step, rule, sizes))
        found.append(next(explaining, None))
    factors = filter(None, (_scaled(sizes, rounding) for rounding in SizeRule.ROUNDINGS))
    scaled = min(factors, key=lambda step: len(step.split(":")[1]), default=None)
    is_round = scaled is not None and len(scaled.split(":")[1].partition(".")[2]) <= ROUND_DECIMALS
    found.insert(0 if is_round else len(found), scaled)
    return [step for step in found if step is not None]


def _option(rounding: str) -> str:
    return "" if rounding == "even" else f":{rounding}"


def _explains(step: str, rule: SizeRule, sizes: Sequence[tuple[Size, Size]]) -> bool:
    try:
        codecs.check(f"{step}+png")
    except ValueError:
        return False
    return all(rule.served(before) == after for before, after in sizes)


def _scaled(sizes: Sequence[tuple[Size, Size]], rounding: str) -> str | None:
    """Find the `resize` step of fewest decimals that takes every side to its own by a rounding, if there is one."""
    below, above = {"floor": (0.0, 1.0), "ceiling": (1.0, 0.0)}.get(rounding, (0.5, 0.5))
    sides = [pair for before, after in sizes for pair in zip(before, after, strict=True)]
    low = max((after - below) / before for before, after in sides)
    high = min((after + above) / before for before, after in sides)
    for decimals in range(MOST_DECIMALS + 1):
        nearest = round((low + high) / 2, decimals)
        if low <= nearest <= high and nearest > 0:
            step = f"resize:{nearest:.{decimals}f}{_option(rounding)}"
            if _explains(step, SizeRule("resize", (nearest,), rounding), sizes):
                return step
    return None
