"""Any image file, decoded upright to RGB of 8 bits, or told why it can't be."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import Any

from PIL import Image, ImageChops, ImageCms, ImageOps, UnidentifiedImageError

Box = tuple[int, int, int, int]  # left, top, width, height: pixels of the upright photo
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "JPEG2000", "TIFF", "GIF", "BMP", "PPM")  # JPEG brings MPO
SMALLEST_SIDE = 16  # pixels

# Pillow has no common class for what its parsers raise on a damaged file.
_DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
)


class Unusable(Exception):
    """A file that is no image, or a damaged one; its text is the reason, for a person."""


@contextmanager
def decoding() -> Iterator[None]:
    """Raise Unusable, with the reason, for whatever Pillow raises on a file that it can't read; wrap nothing else."""
    try:
        yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Unusable("too many pixels") from None
    except UnidentifiedImageError:
        raise Unusable(
            "not a JPEG, PNG, WebP, AVIF, JPEG 2000, TIFF, GIF, BMP or PPM image, or damaged early"
        ) from None
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.strerror:
            raise Unusable(f"can't be read: {error.strerror}: {error.filename}") from None
        raise Unusable(f"truncated or damaged: {' '.join(str(error).split()) or type(error).__name__}") from error


def decode(data: bytes, *, keep: bool = False) -> Image.Image:
    """Decode a photo to an upright RGB image in sRGB, without metadata.

    Of several frames or pages the first counts. Transparency is laid on white, 16 bits become 8, and an
    ICC profile is applied unless it is broken. Raises Unusable with the reason.

    Args:
        keep: leave RGB pixels in their own colour space, with the profile in `info`, and EXIF and XMP beside it.
    """
    if not data:
        raise Unusable("an empty file")
    with decoding():
        image = Image.open(BytesIO(data), formats=FORMATS)
        _check_size(*image.size)
        image.load()
        with suppress(Unusable), decoding():  # broken metadata does not spoil the pixels
            ImageOps.exif_transpose(image, in_place=True)
        metadata = _metadata(image) if keep else {}
        rgb = _to_rgb(image, keep)
    rgb.info = {**rgb.info, **metadata} if keep else {}
    return rgb


def _metadata(image: Image.Image) -> dict[str | tuple[int, int], Any]:
    """Return the XMP and EXIF that there are; EXIF without its thumbnail, which is another copy of the photo."""
    exif = b""
    with suppress(Unusable), decoding():
        exif = image.getexif().tobytes() if image.getexif() else b""
    found = {"exif": exif, "xmp": image.info.get("xmp")}
    return {name: value for name, value in found.items() if value}


def _check_size(width: int, height: int) -> None:
    if min(width, height) < SMALLEST_SIDE:
        raise Unusable(f"too small: {width}×{height} pixels, a side needs {SMALLEST_SIDE}")
    if Image.MAX_IMAGE_PIXELS and width * height > Image.MAX_IMAGE_PIXELS:
        raise Unusable(f"too many pixels: {width}×{height}")


def _to_rgb(image: Image.Image, keep: bool) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode == "F" or (image.mode == "I" and image.format != "PPM"):
        raise Unusable("32-bit pixels, whose range is unknown")
    if image.mode.startswith("I"):
        image = _to_eight_bits(image)
    if image.has_transparency_data:
        image = _on_white(image)
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        image = ImageChops.invert(image)  # Pillow takes every CMYK JPEG for Adobe's inverted kind
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    if keep and image.mode == "RGB" and isinstance(profile, bytes) and profile[16:20] == b"RGB ":
        image.info = {"icc_profile": profile}
        return image
    rgb = _to_srgb(image, profile).convert("RGB")
    rgb.info = {}
    return rgb


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey; Pillow's own conversion clips it."""
    import numpy as np

    return Image.fromarray(((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    grey = image.mode in ("1", "L", "LA", "La")
    image = image.convert("LA" if grey else "RGBA")
    backdrop = Image.new("L" if grey else "RGB", image.size, "white")
    backdrop.paste(image.convert(backdrop.mode), mask=image.getchannel("A"))
    return backdrop


def _to_srgb(image: Image.Image, profile: object) -> Image.Image:
    if not isinstance(profile, bytes):
        return image
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, source, srgb, outputMode="RGB") or image
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image  # the profile is broken or for another kind of image; the pixels are fine
