"""Cut regions out of a JPEG without decoding it: the coefficients of their blocks, in files of their own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jpeglib  # type: ignore[import-untyped]
import numpy as np
from PIL import Image

from collect.codecs import quantisation
from collect.images import Box, Unusable, decoding

# jpeglib keeps at most so many
MOST_MARKERS = 50
# how many codes there are of each length in the standard's Huffman table for luma AC (ITU-T T.81, K.3.3.2)
STANDARD_CODES = bytes.fromhex("0002010303020403050504040000017d")
PROGRESSIVE = "mozjpeg403"  # the libjpeg of jpeglib's that writes progressive files from coefficients
REACH = 2  # pixels; how far a decoder's smooth up-sampling of chroma looks over a region's edge


class NotCroppable(Exception):
    """A file that is no JPEG, or one whose blocks don't lie on the regions' edges or can't be written back."""


def crop(file: Path, image: Image.Image, boxes: Sequence[Box]) -> list[bytes]:
    """Cut out regions (left, top, width, height); return a JPEG each, in the file's own tables and kind.

    Left and top must be multiples of the file's blocks (16 pixels for 4:2:0). `image` is the same file opened and
    loaded by Pillow: each region must decode to what it decodes to, but for the outermost two pixels. Raises
    NotCroppable, also when the file's codec is one that can't be written back: RGB, CMYK, arithmetic coding.
    """
    markers = getattr(image, "applist", [])
    if image.format != "JPEG" or image.mode not in ("L", "RGB") or len(markers) > MOST_MARKERS:
        raise NotCroppable(f"{file} is no usual JPEG")
    try:
        with decoding(), tempfile.TemporaryDirectory() as folder:
            whole = jpeglib.read_dct(str(file))
            whole.load()
            codec = quantisation.read_codec(file)
            return [_region(whole, image, codec, box, Path(folder, "tile.jpg")) for box in boxes]
    except Unusable as error:  # libjpeg's own message went to the standard error
        raise NotCroppable(f"{file}: {error}") from error


def _region(whole: Any, image: Image.Image, codec: dict[str, Any], box: Box, file: Path) -> bytes:
    left, top, width, height = box
    planes = [
        _blocks(plane, box, factors, whole.samp_factor.max(axis=0))
        for plane, factors in zip((whole.Y, whole.Cb, whole.Cr), whole.samp_factor, strict=False)
    ]
    tile = jpeglib.DCTJPEG(
        path=None,
        content=None,
        height=height,
        width=width,
        block_dims=np.array([plane.shape[:2] for plane in planes], np.int32),
        samp_factor=whole.samp_factor,
        markers=[marker for marker in whole.markers if not marker.content.startswith(b"JFIF\0")],  # libjpeg's own
        huffmans=None,
        jpeg_color_space=whole.jpeg_color_space,
        progressive_mode=False,
        num_scans=1,
        Y=planes[0],
        Cb=planes[1] if planes[1:] else None,
        Cr=planes[2] if planes[1:] else None,
        K=None,
        qt=whole.qt,
        quant_tbl_no=whole.quant_tbl_no,
    )
    tile.write_dct(str(file), flags=[] if STANDARD_CODES in whole.content else ["+OPTIMIZE_CODING"])
    if whole.progressive_mode:
        with _library(PROGRESSIVE):
            again = jpeglib.read_dct(str(file))
            again.markers = tile.markers
            again.write_dct(str(file))
    if quantisation.read_codec(file) != codec | {"width": width, "height": height}:
        raise NotCroppable(f"{file}: its codec can't be written back")
    with Image.open(file) as cropped:
        inner = (REACH, REACH, max(REACH, width - REACH), max(REACH, height - REACH))
        region = image.crop((left, top, left + width, top + height))
        if cropped.mode != image.mode or cropped.crop(inner).tobytes() != region.crop(inner).tobytes():
            raise NotCroppable(f"{file}: its colours can't be written back")
    return file.read_bytes()


def _blocks(plane: Any, box: Box, factors: Any, largest: Any) -> Any:
    """Slice a plane's blocks of 8x8 coefficients that cover a box of pixels; factors are vertical, horizontal."""
    left, top, width, height = box
    slices = []
    for start, length, factor, most in zip((top, left), (height, width), factors, largest, strict=True):
        first, beside = divmod(start * factor, most * 8)
        if beside:
            raise NotCroppable(f"a block of {8 * most // factor} pixels does not begin at {start}")
        slices.append(slice(first, first - (-length * factor // (most * 8))))
    return np.ascontiguousarray(plane[tuple(slices)])


@contextmanager
def _library(version: str) -> Iterator[None]:
    """Have jpeglib use one of its libjpegs, and go back to that before."""
    before = jpeglib.version.get()
    jpeglib.version.set(version)
    try:
        yield
    finally:
        jpeglib.version.set(before)
