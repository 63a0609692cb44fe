"""What AVIF files reveal of their encoder, read straight from their headers.

After the AV1 specification, 5.3 (OBU header), 5.5 (sequence header), 5.9 (frame header) and 5.9.15 (tiles), and ISO/IEC
14496-12, 8.11.3 (where a file's pictures lie).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from collect.codecs.headers.isobmff import boxes

SEQUENCE, FRAME_HEADER, FRAME = 1, 3, 6  # kinds of OBU
WIDEST_TILE, LARGEST_TILE = 4096, 4096 * 2304  # pixels
MOST_TILES = 64  # across, and down
MOST_PLACES = 1000  # that iloc may list: a still picture has a few
LONGEST_ILOC = 16_384  # bytes
SAMPLINGS = {(0, 0): "444", (1, 0): "422", (1, 1): "420"}


class AVIF(NamedTuple):
    """An AVIF's pixel format, quantiser and number of tiles."""

    sampling: str  # 444, 422 or 420
    bits: int
    grey: bool
    quantiser: int  # 0–255, a coarser step the higher
    tiles: int = 1


class Bits:
    """Numbers of so many bits each, the highest first; raises ValueError past the end."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def __call__(self, count: int = 1) -> int:
        value = 0
        for place in range(self.place, self.place + count):
            if place >> 3 >= len(self.data):
                raise ValueError("an AV1 header that ends too early")
            value = value * 2 + (self.data[place >> 3] >> (7 - (place & 7)) & 1)
        self.place += count
        return value


def _quantiser_and_tiles(data: bytes) -> tuple[int, int]:
    """Return base_q_idx, 0–255, and the number of tiles of OBUs that hold a still picture; ValueError for others."""
    units = _units(data)
    frame = units.get(FRAME, units.get(FRAME_HEADER))
    if frame is None or SEQUENCE not in units:
        raise ValueError("no AV1 picture")
    width, height, is_wide_block, has_superres = _sequence(Bits(units[SEQUENCE]))
    bits = Bits(frame)
    bits()  # whether symbols' odds stay
    for_screens = bits()
    if for_screens:
        bits()  # whole motion vectors
    is_superres = has_superres and bits()
    if is_superres:
        bits(3)
    if bits():  # another size to show
        bits(32)
    if for_screens and not is_superres:
        bits()  # block copy
    tiles = _tiles(bits, width, height, 7 if is_wide_block else 6)
    return bits(8), tiles


def _units(data: bytes) -> dict[int, bytes]:
    """Cut data into OBUs, by kind."""
    units: dict[int, bytes] = {}
    place = 0
    while place < len(data):
        header = data[place]
        place += 2 if header >> 2 & 1 else 1
        size, shift = len(data) - place, 0
        if header >> 1 & 1:
            size = 0
            while place < len(data) and shift < 56:
                byte = data[place]
                size, shift, place = size | (byte & 127) << shift, shift + 7, place + 1
                if byte < 128:
                    break
        units.setdefault(header >> 3 & 15, data[place : place + size])
        place += size
    return units


def _sequence(bits: Bits) -> tuple[int, int, int, int]:
    """Read width, height, whether blocks are of 128 pixels, and whether pictures may be narrowed."""
    bits(4)  # profile, still
    if not bits():
        raise ValueError("an AV1 sequence that isn't one still picture")
    bits(5)  # level
    lengths = bits(4) + 1, bits(4) + 1
    width, height = (bits(length) + 1 for length in lengths)
    is_wide_block = bits()
    bits(2)  # intra prediction's filters
    return width, height, is_wide_block, bits()


def _tiles(bits: Bits, width: int, height: int, block: int) -> int:
    """Read into how many tiles a picture is cut; `block` is the logarithm of a superblock's side."""
    columns, rows = (math.ceil(side / (1 << block)) for side in (width, height))
    if not bits():
        raise ValueError("an AV1 picture with tiles of different sizes")
    fewest = _log2(WIDEST_TILE >> block, columns)
    across = _count_up(bits, fewest, _log2(1, min(columns, MOST_TILES)))
    least = max(fewest, _log2(LARGEST_TILE >> 2 * block, rows * columns))
    down = _count_up(bits, max(least - across, 0), _log2(1, min(rows, MOST_TILES)))
    if across or down:
        bits(across + down + 2)
    return 1 << across + down


def _count_up(bits: Bits, number: int, most: int) -> int:
    while number < most and bits():
        number += 1
    return number


def _log2(size: int, target: int) -> int:
    """Return how often `size` must be doubled to reach `target`."""
    times = 0
    while size << times < target:
        times += 1
    return times


def avif(data: bytes) -> AVIF:
    """Read an AVIF's pixel format, quantiser and number of tiles; raises ValueError for another or a damaged file."""
    if data[4:8] != b"ftyp":
        raise ValueError("no AVIF")
    found = dict(boxes(data))
    settings = found.get(b"av1C", b"")
    if len(settings) < 4:
        raise ValueError("an AVIF without its configuration")
    flags = settings[2]
    sampling = SAMPLINGS.get((flags >> 3 & 1, flags >> 2 & 1), "other")
    step, tiles = _quantiser_and_tiles(_picture(data, found))
    return AVIF(sampling, (8, 10, 8, 12)[flags >> 5 & 3], bool(flags >> 4 & 1), step, tiles)


def _picture(data: bytes, found: dict[bytes, bytes]) -> bytes:
    """Cut the primary item out of a file, by where iloc says it lies."""
    primary, places = found.get(b"pitm", b""), Bits(found.get(b"iloc", b""))
    version = places(8)
    places(24)
    offset_size, length_size, base_size, index_size = (8 * places(4) for _ in range(4))
    if not offset_size + length_size or len(places.data) > LONGEST_ILOC:  # else a small file can take seconds
        raise ValueError("an AVIF that says too little or too much of where its pictures lie")
    wide = 32 if version == 2 else 16
    for _ in range(min(places(wide), MOST_PLACES)):
        item = places(wide)
        places(32 if version else 16)  # how the place is given, and in which file
        base = places(base_size)
        for _ in range(min(places(16), MOST_PLACES)):
            places(index_size if version else 0)
            start, length = base + places(offset_size), places(length_size)
            if item == int.from_bytes(primary[4:], "big"):
                return data[start : start + length]
    raise ValueError("an AVIF without its picture")
