"""The boxes that AVIF, HEIF and JP2 files are made of, after ISO/IEC 14496-12, 4.2."""

from __future__ import annotations

import struct
from collections.abc import Iterator

LONGEST_BOX = 65_536  # bytes of one that are looked at
MOST_BOXES = 1000
CONTAINERS = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"jp2h": 0}  # boxes of boxes: bytes before the first


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """List boxes and those within containers: kind and the content's beginning."""
    place = 0
    for _ in range(MOST_BOXES):
        if place + 8 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, place)
        if length < 8:  # to the end, or longer than 4 GB: the image's data
            return
        if kind in CONTAINERS:  # what it holds comes next, then what comes after it
            place += 8 + CONTAINERS[kind]
        else:
            yield kind, data[place + 8 : min(place + length, place + LONGEST_BOX)]
            place += length
