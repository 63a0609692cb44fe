"""Pictures inside the page."""

from __future__ import annotations

import base64
import io

from PIL import Image

from pairing.alignment import Pixels


def data_url(pixels: Pixels, *, lossless: bool = True) -> str:
    """Put pixels into the page itself, unchanged, or as the eye sees them, which keeps the page small."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=lossless, quality=80 if lossless else 90)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
