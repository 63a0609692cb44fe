"""Headers of 10,000 random, 2,000 damaged and some large hostile files: time and memory of the worst."""

from __future__ import annotations

import struct
import sys
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from test_headers import FILES, box, mutated

from collect.codecs.headers import reader

sys.path.append(str(Path(__file__).parents[1] / "collect" / "codecs"))

LONGEST, MOST_MEMORY = 1.0, 200_000_000  # seconds, bytes
LARGE = 40_000_000  # bytes
FTYP = box(b"ftyp", b"avif\0\0\0\0mif1avif")
AV1C = box(b"av1C", b"\x81\0\0\0")
ENDLESS = struct.pack(">H", 1000) + struct.pack(">3H", 1, 0, 999) * 1000  # iloc of pieces without size
ILOC = box(b"meta", bytes(4) + box(b"iloc", bytes(4) + b"\0\0" + ENDLESS) + AV1C)
ISPE = box(b"ispe", bytes(4) + struct.pack(">2I", 9, 9))
HOSTILE = {
    "fill": b"\xff\xd8" + b"\xff" * LARGE,
    "empty segments": b"\xff\xd8" + b"\xff\xfe\0\2" * (LARGE // 4),
    "endless tables": b"\xff\xd8" + (b"\xff\xdb\xfd\xea" + (b"\0" * 65) * 1000) * 600 + FILES["jpeg:75"][2:],
    "empty PNG chunks": FILES["png"][:33] + bytes(LARGE),
    "empty WebP chunks": b"RIFF\0\0\0\0WEBP" + bytes(LARGE),
    "boxes in boxes": FTYP + ISPE + AV1C + b"\xff\xff\xff\xffipco" * (LARGE // 8),
    "metas in metas": FTYP + ISPE + AV1C + b"\x7f\xff\xff\xffmeta\0\0\0\0" * (LARGE // 12),
    "empty boxes": FTYP + ISPE + b"\0\0\0\x08free" * (LARGE // 8),
    "endless places": FTYP + ISPE + ILOC,
    "empty JPEG 2000 segments": b"\xff\x4f\xff\x51\0\2" + b"\xff\x64\0\2" * (LARGE // 4),
}


def timed(content: bytes) -> float:
    start = time.perf_counter()
    with suppress(ValueError):
        reader.read(content)
    return time.perf_counter() - start


def test_no_file_takes_long_or_much_memory() -> None:
    times: list[float] = []

    @settings(max_examples=10_000, deadline=None, database=None)
    @given(st.binary(max_size=400), st.sampled_from([b"", *(content[:16] for content in FILES.values())]))
    def examples(content: bytes, start: bytes) -> None:
        times.append(timed(start + content))

    examples()
    files = [timed(mutated(seed)) for seed in range(2000)]
    hostile = {name: timed(content) for name, content in HOSTILE.items()}
    tracemalloc.start()
    for content in (*HOSTILE.values(), *map(mutated, range(200))):
        timed(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"{len(times)} examples {max(times):.4f} s, {len(files)} files {max(files):.4f} s, {peak / 1e6:.1f} MB")
    print(*(f"{name} {seconds:.3f} s" for name, seconds in hostile.items()), sep="\n")
    assert max(*times, *files, *hostile.values()) < LONGEST and peak < MOST_MEMORY
