"""What any image file reveals of its encoder, as plain JSON values, without decoding a pixel."""

from __future__ import annotations

import struct
from typing import Any

from collect.codecs.headers import jpeg, jpeg2000, png, webp
from collect.codecs.headers.avif import avif
from collect.codecs.headers.isobmff import boxes

AVIF_BRANDS = {b"avif", b"avis"}
FARTHEST = 1 << 20  # bytes within which settings are looked for, so that no file takes long
MOST_CHUNKS = 1000  # of a WebP
WEBP_METADATA = {b"ICCP": "ICC", b"EXIF": "EXIF", b"XMP ": "XMP"}


def read(data: bytes) -> dict[str, Any]:
    """Read what an image file's header says: `format`, `width`, `height`, `metadata` and what its format tells.

    Raises ValueError for any other file than JPEG, PNG, WebP, JPEG 2000 and AVIF, and for a damaged header.
    """
    if data[:2] == b"\xff\xd8":
        return jpeg.jpeg(data)
    if data[:8] == png.SIGNATURE:
        return png.png(data)
    if data[:4] == b"RIFF":
        return _webp(data)
    if data[:4] == b"\xff\x4f\xff\x51" or data[4:12] == b"jP  \r\n\x87\n":
        return _jpeg2000(data)
    if data[4:8] == b"ftyp":
        return _avif(data)
    raise ValueError("no image of a known format")


def _webp(data: bytes) -> dict[str, Any]:
    told = webp.webp(data[:FARTHEST])._asdict()
    chunks: dict[bytes, bytes] = {}
    place = 12
    for _ in range(MOST_CHUNKS):
        if place + 8 > len(data):
            break
        kind, length = struct.unpack_from("<4sI", data, place)
        chunks.setdefault(kind, data[place + 8 : place + 18])
        place += 8 + length + length % 2
    if b"VP8L" in chunks and told["lossless"]:
        bits = int.from_bytes(chunks[b"VP8L"][1:5], "little")
        width, height, alpha = (bits & 16383) + 1, (bits >> 14 & 16383) + 1, bool(bits >> 28 & 1)
        if chunks[b"VP8L"][:1] != b"\x2f" or len(chunks[b"VP8L"]) < 5:
            raise ValueError("a WebP without its lossless header")
    else:
        width, height = (int.from_bytes(chunks.get(b"VP8 ", b"")[at : at + 2], "little") & 16383 for at in (6, 8))
        alpha = b"ALPH" in chunks
    if not (width and height):
        raise ValueError("a WebP without a size")
    metadata = sorted(name for kind, name in WEBP_METADATA.items() if kind in chunks)
    told |= {"segments": list(told["segments"]), "width": width, "height": height, "alpha": alpha}
    return {"format": "WEBP", "metadata": metadata} | told


def _jpeg2000(data: bytes) -> dict[str, Any]:
    told = jpeg2000.jpeg2000(data[:FARTHEST])._asdict()
    start = data.find(b"\xff\x4f\xff\x51") + 4
    size = data[start : start + int.from_bytes(data[start : start + 2], "big")]
    if len(size) < 41 or len(size) != 38 + 3 * int.from_bytes(size[36:38], "big"):
        raise ValueError("a JPEG 2000 with a damaged size")
    right, bottom, left, top = struct.unpack_from(">4I", size, 4)
    steps = list(zip(size[39::3], size[40::3], strict=True))  # across and down, in pixels
    if right <= left or bottom <= top or not all(map(all, steps)):
        raise ValueError("a JPEG 2000 without a size")
    coarsest = [max(step[axis] for step in steps) for axis in (0, 1)]
    sampling = jpeg.sampling([(coarsest[0] // across, coarsest[1] // down) for across, down in steps])
    is_profiled = any(kind == b"colr" and content[:1] == b"\2" for kind, content in boxes(data))
    told |= {"width": right - left, "height": bottom - top, "bits": (size[38] & 127) + 1, "sampling": sampling}
    return {"format": "JPEG2000", "metadata": ["ICC"] if is_profiled else []} | told


def _avif(data: bytes) -> dict[str, Any]:
    """Read an AVIF; the largest size is the image's, for its tiles and thumbnails have theirs too."""
    every = list(boxes(data))
    found = dict(reversed(every))  # the first of each kind: a thumbnail's come later
    if not AVIF_BRANDS & {found.get(b"ftyp", b"")[place : place + 4] for place in (0, *range(8, 256, 4))}:
        raise ValueError("no image of a known format")
    sizes = [
        (int.from_bytes(content[4:8], "big"), int.from_bytes(content[8:12], "big"))
        for kind, content in every
        if kind == b"ispe" and len(content) >= 12
    ]
    width, height = max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))
    if not (width and height):
        raise ValueError("an AVIF without a size")
    items = found.get(b"iinf", b"")
    told = {"ICC": any(kind == b"colr" and content[:4] in (b"prof", b"rICC") for kind, content in every)}
    told |= {"EXIF": b"Exif" in items, "XMP": b"application/rdf+xml" in items}
    settings = avif(data[:FARTHEST])
    sampling = "grey" if settings.grey else ":".join(settings.sampling) if settings.sampling.isdigit() else "other"
    return {
        "width": width,
        "height": height,
        "metadata": sorted(name for name, is_there in told.items() if is_there),
        "format": "AVIF",
        "bits": settings.bits,
        "sampling": sampling,
        "quantiser": settings.quantiser,
    }
