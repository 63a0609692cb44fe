"""Colour profiles, put into files of encoders that take none."""

from __future__ import annotations

import struct

LONGEST_PART = 65_519  # bytes of a profile in one segment of a JPEG
HAS_PROFILE = 0x20  # a WebP's flag


def in_jpeg(data: bytes, profile: bytes | None) -> bytes:
    """Put a profile into a JPEG without one, as ICC.1, B.4 has it; None leaves the file as it is."""
    if not profile:
        return data
    parts = [profile[place : place + LONGEST_PART] for place in range(0, len(profile), LONGEST_PART)]
    segments = b"".join(
        struct.pack(">HH12sBB", 0xFFE2, 16 + len(part), b"ICC_PROFILE\0", number, len(parts)) + part
        for number, part in enumerate(parts, 1)
    )
    place = 2
    if data[2:4] == b"\xff\xe0":  # JFIF stands first
        place += 2 + int.from_bytes(data[4:6], "big")
    return data[:place] + segments + data[place:]


def in_webp(data: bytes, size: tuple[int, int], profile: bytes | None) -> bytes:
    """Put a profile into a WebP of one chunk, as RFC 9649, 2.7 has it; None leaves the file as it is."""
    if not profile:
        return data
    width, height = (struct.pack("<I", side - 1)[:3] for side in size)
    chunks = _chunk(b"VP8X", bytes([HAS_PROFILE, 0, 0, 0]) + width + height) + _chunk(b"ICCP", profile) + data[12:]
    return struct.pack("<4sI4s", b"RIFF", 4 + len(chunks), b"WEBP") + chunks


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack("<4sI", kind, len(content)) + content + bytes(len(content) % 2)
