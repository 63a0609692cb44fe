"""What a JPEG reveals of its encoder before its first scan: Pillow reads tables and frame, and we what it passes over.

After ISO/IEC 10918-1, B.1 and B.2 (markers and their segments) and Annex K.3 (the standard Huffman tables).
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from functools import cache
from typing import Any

from PIL import Image, JpegImagePlugin

START, SCAN, END = 0xD8, 0xDA, 0xD9
HUFFMAN, TABLES, RESTART, COMMENT, ADOBE = 0xC4, 0xDB, 0xDD, 0xFE, 0xEE
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
FIRST_ARITHMETIC = 0xC9
ALONE = {0x01, *range(0xD0, 0xD8)}  # markers without a segment
MOST_SEGMENTS = 10_000
MOST_DESCRIBED = 65_536  # bytes of tables and frame: four tables of 16 bits are 0.5 kB
MARKER = re.compile(rb"\xff{1,4095}([^\xff])", re.DOTALL)  # any number of fill bytes is allowed, so that we set a bound
PREFIXES = {
    0xE0: {b"JFIF\0": "JFIF"},
    0xE1: {b"Exif\0": "EXIF", b"http://ns.adobe.com/xap/1.0/\0": "XMP", b"http://ns.adobe.com/xmp/ext": "XMP"},
    0xE2: {b"ICC_PROFILE\0": "ICC"},
    0xED: {b"Photoshop 3.0\0": "IPTC"},
    ADOBE: {b"Adobe": "Adobe"},
    COMMENT: {b"": "COM"},
}
FACEBOOK = re.compile(rb"\x1c\x02\x28..FBMD", re.DOTALL)  # IPTC's 2:40, special instructions
SAMPLINGS = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0", (1, 2): "4:4:0", (4, 1): "4:1:1"}


def jpeg(data: bytes) -> dict[str, Any]:
    """Read a JPEG's size, tables (row by row), sampling, coding and metadata.

    Raises ValueError for another or a damaged file, and for a kind that Pillow can't read, such as one of 12 bits.
    Huffman tables are `standard` when each is one of Annex K's.
    """
    frames, described, metadata = list[int](), bytearray(b"\xff\xd8"), set[str]()
    is_standard, restart = True, 0
    for marker, content in _segments(data):
        if marker in FRAMES or marker == TABLES:
            described += struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content
            frames += [marker] * (marker in FRAMES)
        elif marker == HUFFMAN:
            is_standard &= standard_huffman().issuperset(_huffman(content))
        elif marker == RESTART:
            if len(content) != 2:
                raise ValueError("a JPEG with a damaged restart interval")
            restart = int.from_bytes(content, "big")
        else:
            metadata.update(name for start, name in PREFIXES.get(marker, {}).items() if content.startswith(start))
            if marker == 0xED and FACEBOOK.search(content):
                metadata.add("FBMD")
    if len(frames) != 1 or len(described) > MOST_DESCRIBED:
        raise ValueError("a JPEG without one frame before its scan, or with endless tables")
    image = _described(described)
    huffman = "standard" if is_standard else "optimised"
    return {
        "width": image.width,
        "height": image.height,
        "precision": image.bits,
        "sampling": sampling([factors[1:3] for factors in image.layer]),
        "progressive": "progressive" in image.info,
        "huffman": huffman if frames[0] < FIRST_ARITHMETIC else "arithmetic",
        "format": "JPEG",
        "metadata": sorted(metadata),
        "tables": [image.quantization[name] for name in sorted(image.quantization)],
        "restart": restart,
    }


def _described(tables_and_frame: bytearray) -> JpegImagePlugin.JpegImageFile:
    """Let Pillow read a JPEG's tables and frame, and nothing else: what it makes of hostile metadata has no bound."""
    try:
        image = JpegImagePlugin.JpegImageFile(io.BytesIO(tables_and_frame))
    except (SyntaxError, OSError) as error:
        raise ValueError(f"a JPEG whose tables or frame can't be read: {error}") from error
    factors = {factor for _, *pair, _ in image.layer for factor in pair}
    if len(image.layer) != image.layers or not factors <= {1, 2, 3, 4} or not {*image.quantization} <= {0, 1, 2, 3}:
        raise ValueError("a JPEG with damaged sampling factors or tables")
    return image


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """List the segments before the first scan: marker and content."""
    place = 2
    for _ in range(MOST_SEGMENTS):
        if not (found := MARKER.match(data, place)):
            break
        marker, place = found[1][0], found.end()
        if marker == SCAN:
            return
        if marker in ALONE:
            continue
        length = int.from_bytes(data[place : place + 2], "big")
        if marker in (0, START, END) or length < 2 or place + length > len(data):
            break
        yield marker, data[place + 2 : place + length]
        place += length
    raise ValueError("a JPEG that is damaged before its scan")


def sampling(factors: list[tuple[int, int]]) -> str:
    """Name how colour is sampled, from each component's horizontal and vertical factor, the larger the finer."""
    if len(factors) == 1:
        return "grey"
    (across, down), *chroma = factors
    if any(0 in pair for pair in factors):  # a damaged file
        return "other"
    if len(factors) != 3 or chroma[0] != chroma[1] or across % chroma[0][0] or down % chroma[0][1]:
        return "other"
    return SAMPLINGS.get((across // chroma[0][0], down // chroma[0][1]), "other")


def _huffman(content: bytes) -> Iterator[tuple[int, bytes]]:
    """List a segment's Huffman tables: 0 for DC or 1 for AC, and the table."""
    place = 0
    while place < len(content):
        end = place + 17 + sum(content[place + 1 : place + 17])
        if content[place] >> 4 > 1 or end > len(content):
            raise ValueError("a JPEG with a damaged Huffman table")
        yield content[place] >> 4, content[place + 1 : end]
        place = end


@cache
def standard_huffman() -> frozenset[tuple[int, bytes]]:
    """Return Annex K's tables as `_huffman` lists them, read off a file that libjpeg wrote."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG")
    return frozenset(
        table for marker, content in _segments(file.getvalue()) if marker == HUFFMAN for table in _huffman(content)
    )
