"""A photo: where it lies, its name, its decoding (any kind of image in, upright 8-bit sRGB out), its shape."""

from __future__ import annotations

import hashlib
import random
import re
import stat
import struct
import unicodedata
import zlib
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops, ImageCms, ImageOps, UnidentifiedImageError

Box = tuple[int, int, int, int]  # left, top, width, height: pixels of the upright photo
# Pillow widens its bicubic kernel when it shrinks an image, so that nothing aliases.
KERNEL = Image.Resampling.BICUBIC
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "JPEG2000", "TIFF", "GIF", "BMP", "PPM")  # JPEG brings MPO
LARGEST_FILE = 512 * 2**20  # bytes
SMALLEST_SIDE = 16  # pixels
# Pillow has no common class for what its parsers raise on a damaged file.
DAMAGED = (
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
    """A photo that is set aside; its text is the reason, for a person."""


@dataclass(frozen=True)
class Photo:
    """Where one photo's bytes are: a file, or `size` bytes of it from `offset` on (a member of a tar)."""

    source: str  # relative to the dataset's root, or package:file
    stem: str  # of the prepared image's name, before it is made unique
    path: Path
    label: int | None = None  # ILSVRC class index
    offset: int = 0
    size: int | None = None

    def read(self) -> bytes:
        """Read the photo's bytes; raise Unusable when they can't be read or are too many."""
        try:
            if not stat.S_ISREG(self.path.stat().st_mode):
                raise Unusable("not a regular file")
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read(LARGEST_FILE + 1 if self.size is None else self.size)
        except OSError as error:
            raise Unusable(f"can't be read: {error.strerror}") from None
        if len(data) > LARGEST_FILE:
            raise Unusable(f"larger than {LARGEST_FILE // 2**20} MB")
        return data


def decode(data: bytes, *, keep: bool = False) -> Image.Image:
    """Decode a photo to an upright RGB image in sRGB, without metadata.

    Of several frames or pages the first counts. Transparency is laid on white, 16 bits become 8, and an
    ICC profile is applied unless it is broken. Raises Unusable with the reason.

    Args:
        keep: leave RGB pixels in their own colour space, with the profile in `info`, and EXIF and XMP beside it.
    """
    if not data:
        raise Unusable("an empty file")
    try:
        image = Image.open(BytesIO(data), formats=FORMATS)
        width, height = image.size
        _check_size(width, height)
        image.load()
        with suppress(*DAMAGED):  # broken metadata does not spoil the pixels
            ImageOps.exif_transpose(image, in_place=True)
        metadata = _metadata(image) if keep else {}
        rgb = _to_rgb(image, keep)
    except Image.DecompressionBombError:
        raise Unusable("too many pixels") from None
    except UnidentifiedImageError:
        raise Unusable(
            "not a JPEG, PNG, WebP, AVIF, JPEG 2000, TIFF, GIF, BMP or PPM image, or damaged early"
        ) from None
    except DAMAGED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise Unusable(f"truncated or damaged: {reason}") from None
    rgb.info = {**rgb.info, **metadata} if keep else {}
    return rgb


def _metadata(image: Image.Image) -> dict[str | tuple[int, int], Any]:
    """Return the XMP and EXIF that there are; EXIF without its thumbnail, which is another copy of the photo."""
    exif = b""
    with suppress(*DAMAGED):
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


def shape(photo: Image.Image, size: int, fit: str, box: Box | None = None) -> Image.Image:
    """Resize a photo, or the box of it, to size × size; `fit` is `squash` or `crop` (the centred square)."""
    if fit == "crop" and box is None:
        return ImageOps.fit(photo, (size, size), KERNEL)
    left, top, width, height = box or (0, 0, *photo.size)
    return photo.resize((size, size), KERNEL, box=(left, top, left + width, top + height))


def crop_boxes(width: int, height: int, smallest: int, count: int, seed: str) -> list[Box]:
    """Draw up to `count` different square boxes of varied side, so that detail comes at varied scales.

    Sides lie between a third of the photo's short side and all of it, and never below `smallest` where
    the photo is larger than that.
    """
    rng = random.Random(seed)
    short = min(width, height)
    boxes: dict[Box, None] = {}
    for _ in range(count):
        side = rng.randint(min(short, max(smallest, short // 3)), short)
        boxes[rng.randint(0, width - side), rng.randint(0, height - side), side, side] = None
    boxes.pop((0, 0, width, height), None)  # the whole photo, which is there without this
    return list(boxes)


def in_seeded_order(photos: list[Photo], seed: int) -> list[Photo]:
    """Make the stems unique and safe in any file system, and order the photos by a seeded hash of them."""
    stems = [_safe(photo.stem) for photo in photos]
    seen = Counter(stem.casefold() for stem in stems)
    named = [
        replace(photo, stem=stem if seen[stem.casefold()] == 1 else f"{stem}-{_sha256(photo.source)[:8]}")
        for photo, stem in zip(photos, stems, strict=True)
    ]
    return sorted(named, key=lambda photo: _sha256(f"{seed} {photo.stem}"))


def _safe(stem: str) -> str:
    ascii_only = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_-]+", "-", ascii_only).strip("-")[:80] or "photo"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
