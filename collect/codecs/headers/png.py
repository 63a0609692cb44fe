"""What a PNG reveals of its encoder, read from its chunks; after the PNG specification, 5.3 and 11.2–11.3."""

from __future__ import annotations

import struct
from typing import Any

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey and alpha", 6: "RGBA"}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
MOST_CHUNKS = 100_000  # libpng cuts pixels into chunks of 8 kB
METADATA = {b"iCCP": "ICC", b"eXIf": "EXIF"} | {
    kind: kind.decode() for kind in (b"sRGB", b"gAMA", b"cHRM", b"cICP", b"pHYs", b"tIME", b"tEXt", b"zTXt", b"iTXt")
}
XMP = b"XML:com.adobe.xmp\0"


def png(data: bytes) -> dict[str, Any]:
    """Read a PNG's size, pixel format and metadata; raises ValueError for another or a damaged file."""
    if data[:8] != SIGNATURE or data[8:16] != b"\0\0\0\x0dIHDR" or len(data) < 33:
        raise ValueError("no PNG")
    width, height, bits, colour, _, _, interlace = struct.unpack_from(">2I5B", data, 16)
    if not (width and height) or bits not in DEPTHS.get(colour, ()) or interlace > 1:
        raise ValueError("a PNG with a damaged header")
    metadata: set[str] = set()
    place = 33
    for _ in range(MOST_CHUNKS):
        if place + 8 > len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, place)
        if kind in METADATA:
            is_xmp = kind == b"iTXt" and data.startswith(XMP, place + 8)
            metadata.add("XMP" if is_xmp else METADATA[kind])
        if kind == b"IEND":
            break
        place += 12 + length
    return {
        "format": "PNG",
        "width": width,
        "height": height,
        "metadata": sorted(metadata),
        "bits": bits,
        "colour": COLOURS[colour],
        "interlaced": bool(interlace),
    }
