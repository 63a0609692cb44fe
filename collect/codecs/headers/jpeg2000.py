"""How a JPEG 2000 file was quantised."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

COD, SOT = 0xFF52, 0xFF90  # JPEG 2000's markers of the coding style and of a tile


class JPEG2000(NamedTuple):
    """A JPEG 2000's coding style."""

    irreversible: bool  # the 9/7 wavelet
    levels: int  # of decomposition
    layers: int
    colour_transform: bool


def jpeg2000(data: bytes) -> JPEG2000:
    """Read a JPEG 2000's coding style from its main header (JP2 or bare); raises ValueError for another file."""
    start = data.find(b"\xff\x4f\xff\x51")  # SOC and SIZ, wherever boxes put them
    if start < 0:
        raise ValueError("no JPEG 2000")
    style = dict(_markers(data, start + 2)).get(COD, b"")
    if len(style) < 10:
        raise ValueError("a JPEG 2000 without its coding style")
    layers, transform, levels = struct.unpack_from(">HBB", style, 2)
    return JPEG2000(style[9] == 0, levels, layers, bool(transform))


def _markers(data: bytes, place: int) -> Iterator[tuple[int, bytes]]:
    """List the main header's segments: marker and content."""
    while place + 4 <= len(data):
        marker, length = struct.unpack_from(">HH", data, place)
        if marker == SOT or length < 2:
            return
        yield marker, data[place + 4 : place + 2 + length]
        place += 2 + length
