"""Uploads as a site reads them: decoded, upright, opaque, without metadata but the colour profile."""

from __future__ import annotations

import io
import struct

from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
MAX_UPLOAD_BYTES = 20 * 1024 * 1024  # bytes
MAX_PIXELS = 100_000_000  # pixels


class NotAnImage(Exception):
    """The upload is no image that the site takes."""


def decode_upload(data: bytes) -> Image.Image:
    """Decode an upload to RGB, turned as its EXIF says, transparency on white.

    `info` holds the ICC profile, when there is one for RGB, and nothing else. Raises NotAnImage, also for
    truncated files and for more than 20 MB or 100 megapixels.
    """
    if len(data) > MAX_UPLOAD_BYTES:
        raise NotAnImage(f"the file is larger than {MAX_UPLOAD_BYTES >> 20} MB")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise NotAnImage(f"the image has more than {MAX_PIXELS // 1_000_000} megapixels")
            image = ImageOps.exif_transpose(opened)
    except UnidentifiedImageError:
        raise NotAnImage(f"the file is none of {', '.join(FORMATS)}") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise NotAnImage(f"the file can't be decoded: {error}") from None
    profile = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA", "P") else None
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow's own conversion clips
        image = image.convert("I").point(lambda value: value / 257).convert("L")
    rgb = _opaque(image)
    rgb.info = {"icc_profile": profile} if profile else {}
    return rgb


def _opaque(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
