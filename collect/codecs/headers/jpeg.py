"""What a JPEG reveals of its encoder, read from its markers up to the first scan.

After ISO/IEC 10918-1, B.1 and B.2 (markers and their segments) and Annex K.3 (the example Huffman tables).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Any

START, SCAN, END = 0xD8, 0xDA, 0xD9
HUFFMAN, TABLES, RESTART, COMMENT, ADOBE = 0xC4, 0xDB, 0xDD, 0xFE, 0xEE
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
FIRST_ARITHMETIC = 0xC9
ALONE = {0x01, *range(0xD0, 0xD8)}  # markers without a segment
MOST_SEGMENTS = 10_000
MOST_FILL = 4096  # bytes between two segments
PREFIXES = {
    0xE0: {b"JFIF\0": "JFIF"},
    0xE1: {b"Exif\0": "EXIF", b"http://ns.adobe.com/xap/1.0/\0": "XMP", b"http://ns.adobe.com/xmp/ext": "XMP"},
    0xE2: {b"ICC_PROFILE\0": "ICC"},
    0xED: {b"Photoshop 3.0\0": "IPTC"},
    ADOBE: {b"Adobe": "Adobe"},
    COMMENT: {b"": "COM"},
}
FACEBOOK = re.compile(rb"\x1c\x02\x28..FBMD", re.DOTALL)  # IPTC's 2:40, special instructions
NOT_FILL = re.compile(rb"[^\xff]")
SAMPLINGS = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0", (1, 2): "4:4:0", (4, 1): "4:1:1"}
_DC_VALUES = bytes(range(12))
STANDARD = {  # tables K.3 and K.4, K.5, K.6: how many codes of each length, then their values
    0: (
        bytes.fromhex("00010501010101010100000000000000") + _DC_VALUES,
        bytes.fromhex("00030101010101010101010000000000") + _DC_VALUES,
    ),
    1: (
        bytes.fromhex(
            "0002010303020403050504040000017d01020300041105122131410613516107227114328191a1082342b1c11552d1f0"
            "2433627282090a161718191a25262728292a3435363738393a434445464748494a535455565758595a63646566676869"
            "6a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5"
            "c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa"
        ),
        bytes.fromhex(
            "00020102040403040705040400010277000102031104052131061241510761711322328108144291a1b1c109233352f0"
            "156272d10a162434e125f11718191a262728292a35363738393a434445464748494a535455565758595a636465666768"
            "696a737475767778797a82838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3"
            "c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa"
        ),
    ),
}


def _zigzag() -> list[int]:
    """List the places, row by row, of coefficients in the order of a file."""
    places = [(row, column) for row in range(8) for column in range(8)]
    places.sort(key=lambda place: (sum(place), place[0] if sum(place) % 2 else place[1]))
    return [8 * row + column for row, column in places]


ZIGZAG = _zigzag()


def jpeg(data: bytes) -> dict[str, Any]:
    """Read a JPEG's size, tables (row by row), sampling, coding and metadata.

    Raises ValueError for another or a damaged file. Huffman tables are `standard` when each is one of Annex K's.
    """
    tables: dict[int, list[int]] = {}
    frame: dict[str, Any] = {}
    metadata: set[str] = set()
    is_standard, restart = True, 0
    for marker, content in _segments(data):
        if marker in FRAMES:
            if frame:
                raise ValueError("a JPEG with two frames")
            frame = _frame(marker, content)
        elif marker == TABLES:
            tables.update(_tables(content))
        elif marker == HUFFMAN:
            is_standard &= all(table in STANDARD[kind] for kind, table in _huffman(content))
        elif marker == RESTART:
            if len(content) != 2:
                raise ValueError("a JPEG with a damaged restart interval")
            restart = int.from_bytes(content, "big")
        else:
            metadata.update(name for start, name in PREFIXES.get(marker, {}).items() if content.startswith(start))
            if marker == 0xED and FACEBOOK.search(content):
                metadata.add("FBMD")
    if not frame:
        raise ValueError("a JPEG without a frame before its scan")
    return frame | {
        "format": "JPEG",
        "metadata": sorted(metadata),
        "tables": [tables[name] for name in sorted(tables)],
        "huffman": frame["huffman"] or ("standard" if is_standard else "optimised"),
        "restart": restart,
    }


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """List the segments before the first scan: marker and content."""
    if data[:3] != b"\xff\xd8\xff":
        raise ValueError("no JPEG")
    place = 2
    for _ in range(MOST_SEGMENTS):
        if data[place : place + 1] != b"\xff":
            break
        found = NOT_FILL.search(data, place, place + MOST_FILL)
        if not found:
            break
        place = found.start()
        marker, place = data[place], place + 1
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


def _frame(marker: int, content: bytes) -> dict[str, Any]:
    if len(content) < 6 or len(content) != 6 + 3 * content[5]:
        raise ValueError("a JPEG with a damaged frame header")
    precision, height, width, count = struct.unpack_from(">BHHB", content)
    if not (width and height and count):
        raise ValueError("a JPEG without size or components")
    factors = [(byte >> 4, byte & 15) for byte in content[7::3]]
    if not all(1 <= factor <= 4 for pair in factors for factor in pair):
        raise ValueError("a JPEG with damaged sampling factors")
    return {
        "width": width,
        "height": height,
        "precision": precision,
        "sampling": sampling(factors),
        "progressive": marker in PROGRESSIVE,
        "huffman": "arithmetic" if marker >= FIRST_ARITHMETIC else "",
    }


def sampling(factors: list[tuple[int, int]]) -> str:
    """Name how colour is sampled, from each component's horizontal and vertical factor, the larger the finer."""
    if len(factors) == 1:
        return "grey"
    (across, down), *chroma = factors
    if len(factors) != 3 or chroma[0] != chroma[1] or across % chroma[0][0] or down % chroma[0][1]:
        return "other"
    return SAMPLINGS.get((across // chroma[0][0], down // chroma[0][1]), "other")


def _tables(content: bytes) -> Iterator[tuple[int, list[int]]]:
    """List a segment's quantisation tables: id, and 64 numbers row by row."""
    place = 0
    while place < len(content):
        wide, name = content[place] >> 4, content[place] & 15
        form = ">64H" if wide else ">64B"
        if wide > 1 or name > 3 or place + 1 + struct.calcsize(form) > len(content):
            raise ValueError("a JPEG with a damaged quantisation table")
        steps = struct.unpack_from(form, content, place + 1)
        yield name, [step for _, step in sorted(zip(ZIGZAG, steps, strict=True))]
        place += 1 + struct.calcsize(form)


def _huffman(content: bytes) -> Iterator[tuple[int, bytes]]:
    """List a segment's Huffman tables: 0 for DC or 1 for AC, and the table."""
    place = 0
    while place < len(content):
        end = place + 17 + sum(content[place + 1 : place + 17])
        if content[place] >> 4 > 1 or end > len(content) or end < place + 17:
            raise ValueError("a JPEG with a damaged Huffman table")
        yield content[place] >> 4, content[place + 1 : end]
        place = end
