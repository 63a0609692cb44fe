"""JPEG's quantisation tables: a file's own, and libjpeg's of a quality."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from PIL import Image, JpegImagePlugin

from collect.codecs.headers.jpeg import sampling

LARGEST_STEP = 32767  # that a table may have
SAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")  # that are told apart

Tables = Sequence[Sequence[int]]  # luma and chroma; 64 numbers each, row by row (not zigzag)


def read_codec(file: Path) -> dict[str, Any]:
    """Read one file's codec: format; for JPEG its tables, sampling, scan type and nearest IJG quality."""
    with Image.open(file) as image:
        codec: dict[str, Any] = {"format": image.format}
        if isinstance(image, JpegImagePlugin.JpegImageFile):
            tables = [list(image.quantization[key]) for key in sorted(image.quantization)]
            codec |= {
                "sampling": named if (named := sampling([each[1:3] for each in image.layer])) in SAMPLINGS else "other",
                "progressive": "progressive" in image.info or "progression" in image.info,
                "quality": nearest_quality(tables[0]),
                "tables": tables,
            }
        return codec | {"width": image.width, "height": image.height}


def nearest_quality(luma: Sequence[int]) -> int:
    """Return the IJG quality, 1–100, whose luma table is nearest in mean absolute difference."""
    return _nearest_quality(tuple(luma))


@lru_cache(maxsize=1024)  # a platform has few tables, and thousands of files that each have one of them
def _nearest_quality(luma: tuple[int, ...]) -> int:
    def distance(quality: int) -> int:
        return sum(abs(a - b) for a, b in zip(luma, standard_tables(quality)[0], strict=True))

    return min(range(1, 101), key=distance)


@cache
def standard_tables(quality: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return libjpeg's own luma and chroma tables of a quality, in rows, read off a file that it wrote."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", quality=quality)
    luma, chroma = read_tables(buffer.getvalue())
    return luma, chroma


def read_tables(data: bytes) -> tuple[tuple[int, ...], ...]:
    """Read a JPEG's tables, in rows."""
    with Image.open(io.BytesIO(data)) as image:
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        return tuple(tuple(image.quantization[key]) for key in sorted(image.quantization))


def exact_quality(tables: Tables) -> int | None:
    """Return the quality whose tables, in libjpeg, are exactly these, if there is one."""
    quality = nearest_quality(tables[0])
    return quality if [*map(tuple, tables)] == [*standard_tables(quality)[: len(tables)]] else None


def tables_argument(sets: Sequence[Tables]) -> str:
    """Return the argument of a JPEG encoder that stands for images' different tables: their quality, or `tables`."""
    quality = exact_quality(sets[0]) if len(sets) == 1 else None
    return str(quality or "tables")


def checked_tables(tables: Tables | None) -> list[list[int]]:
    """Return tables that an encoder can be told; raises ValueError for any others."""
    if tables is None:
        raise ValueError("jpeg:tables works only where the tables themselves are given beside the name")
    if not 1 <= len(tables) <= 2 or any(len(table) != 64 for table in tables):
        raise ValueError("jpeg:tables takes one table or two, of 64 numbers each")
    if any(not 1 <= step <= LARGEST_STEP for table in tables for step in table):
        raise ValueError(f"jpeg:tables: a table's numbers lie from 1 to {LARGEST_STEP}")
    return [list(table) for table in tables]
