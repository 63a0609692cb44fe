"""What WebP and JPEG 2000 files reveal of their encoder, read straight from their headers.

WebP after RFC 9649 (container) and RFC 6386, 9.2–9.6 and 19.2 (VP8's frame header); JPEG 2000 after ISO/IEC
15444-1, A.6.
"""

from __future__ import annotations

import struct
from typing import NamedTuple


class WebP(NamedTuple):
    """A WebP's quantisers (indices 0–127, a coarser step the higher) and loop filter; all 0 when lossless."""

    lossless: bool
    quantiser: int = 0
    segments: tuple[int, ...] = ()  # one quantiser a segment
    simple_filter: bool = False
    filter_level: int = 0
    sharpness: int = 0
    partitions: int = 1  # of coefficients


class BoolDecoder:
    """RFC 6386's arithmetic decoder, for even chances."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 2
        self.value = int.from_bytes(data[:2].ljust(2, b"\0"), "big")
        self.range, self.shifted = 255, 0

    def flag(self) -> bool:
        split = 1 + (self.range - 1 >> 1)
        is_set = self.value >= split << 8
        if is_set:
            self.range, self.value = self.range - split, self.value - (split << 8)
        else:
            self.range = split
        while self.range < 128:
            self.range, self.value, self.shifted = self.range * 2, self.value * 2, self.shifted + 1
            if self.shifted == 8:
                self.value |= self.data[self.place] if self.place < len(self.data) else 0
                self.place, self.shifted = self.place + 1, 0
        return is_set

    def number(self, bits: int) -> int:
        value = 0
        for _ in range(bits):
            value = value * 2 + self.flag()
        return value

    def signed(self, bits: int) -> int:
        """Read an optional number: a flag whether it is there, its size and its sign."""
        if not self.flag():
            return 0
        size = self.number(bits)
        return -size if self.flag() else size


def webp(data: bytes) -> WebP:
    """Read a still WebP's settings; raises ValueError for another or a damaged file."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise ValueError("no WebP")
    place = 12
    while place + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, place)
        if kind == b"VP8L":
            return WebP(lossless=True)
        if kind == b"VP8 ":
            return _vp8(data[place + 8 : place + 8 + length])
        place += 8 + length + length % 2
    raise ValueError("a WebP without a still image")


def _vp8(frame: bytes) -> WebP:
    if len(frame) < 12 or frame[3:6] != b"\x9d\x01\x2a" or frame[0] & 1:
        raise ValueError("a WebP without a key frame")
    bits = BoolDecoder(frame[10:])
    bits.number(2)  # colour space, clamping
    absolute, segments = True, tuple[int, ...]()
    if bits.flag():
        absolute, segments = _segmentation(bits)
    simple, level, sharpness = bits.flag(), bits.number(6), bits.number(3)
    if bits.flag() and bits.flag():  # the filter's deltas by reference frame and by mode
        for _ in range(8):
            bits.signed(6)
    partitions = 1 << bits.number(2)
    quantiser = bits.number(7)
    if not absolute:
        segments = tuple(quantiser + segment for segment in segments)
    return WebP(False, quantiser, segments or (quantiser,), simple, level, sharpness, partitions)


def _segmentation(bits: BoolDecoder) -> tuple[bool, tuple[int, ...]]:
    """Read whether the segments' quantisers are absolute (else relative), and the quantisers."""
    has_map, absolute, segments = bits.flag(), False, tuple[int, ...]()
    if bits.flag():
        absolute = bits.flag()
        segments = tuple(bits.signed(7) for _ in range(4))
        for _ in range(4):
            bits.signed(6)  # loop filter
    if has_map:
        for _ in range(3):
            if bits.flag():
                bits.number(8)
    return absolute, segments
