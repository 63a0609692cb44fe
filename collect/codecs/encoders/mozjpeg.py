"""JPEG, as mozjpeg writes it: sharp's `mozjpeg: true`, Squoosh, cjpeg. By the libvips of pyvips, which has it inside.

Its trellis quantisation weighs each coefficient's error against the bits that it takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, partial
from typing import Any, ClassVar

from PIL import Image

from collect.codecs import quantisation
from collect.codecs.encoders import BlockTransform, Encoder, Rendition
from collect.codecs.encoders.jpeg import Jpeg, sampling_and_scan
from collect.codecs.quality_search import nearest_by
from collect.codecs.quantisation import Tables
from collect.codecs.steps.backends import is_installed
from collect.codecs.vips import PACKAGE, vips_image

TABLES = (3, 0, 2, 4, 1, 5, 6, 7, 8)  # mozjpeg's, the likeliest first; 0 is libjpeg's
SAMPLINGS: dict[str, dict[str, Any]] = {"444": {"subsample_mode": "off"}, "420": {"subsample_mode": "on"}}


class Mozjpeg(Encoder):
    software = "mozjpeg"
    forms = "mozjpeg:QUALITY[:444|420][:baseline][:noovershoot][:table0…8]"
    format, media_type = "JPEG", "image/jpeg"
    lowest_quality = 1
    place = 1
    fixed: ClassVar = SAMPLINGS["420"] | {
        "trellis_quant": True,
        "overshoot_deringing": True,
        "interlace": True,
        "optimize_scans": True,
        "quant_table": 3,
    }
    choices: ClassVar = (
        SAMPLINGS
        | {"baseline": {"interlace": False, "optimize_scans": False}, "noovershoot": {"overshoot_deringing": False}}
        | {f"table{table}": {"quant_table": table} for table in TABLES}
    )

    def __init__(self, *arguments: str, tables: Tables | None = None) -> None:
        super().__init__(*arguments, tables=tables)
        halved = (1, 1) if self.options["subsample_mode"] == "off" else (2, 2)
        self.transform = BlockTransform(8, halved)

    def strength(self, arguments: tuple[str, ...]) -> dict[str, Any]:
        return {"Q": super().strength(arguments)["quality"]}

    def steps(self) -> Tables:
        return _tables(self.options["quant_table"], self.options["Q"])

    def encode(self, image: Image.Image) -> bytes:
        data: bytes = vips_image(image).jpegsave_buffer(keep="icc", optimize_coding=True, **self.options)
        return data

    variant = Jpeg.variant

    @classmethod
    def guesses(cls, seen: Sequence[Rendition], tables: Sequence[Tables]) -> Iterator[str]:
        sampling, *progressive = sampling_and_scan(seen).split(":")
        if len(tables) != 1 or sampling not in SAMPLINGS or not is_installed(PACKAGE):
            return
        found = _table_and_quality(tuple(map(tuple, tables[0])))
        if found is not None:
            table, quality = found
            chain = f"mozjpeg:{quality}:{sampling}" + ("" if progressive else ":baseline")
            chain += "" if table == 3 else f":table{table}"
            yield from (chain, f"{chain}:noovershoot")


@cache
def _table_and_quality(tables: tuple[tuple[int, ...], ...]) -> tuple[int, int] | None:
    """Return by which of mozjpeg's tables, and at which quality, a file has its own; None where by none of them."""
    if quality := quantisation.exact_quality(tables):
        return 0, quality
    for table in TABLES:
        quality = nearest_by(partial(_fineness, table), -sum(tables[0]))
        if _tables(table, quality)[: len(tables)] == tables:
            return table, quality
    return None


def _fineness(table: int, quality: int) -> int:
    return -sum(_tables(table, quality)[0])


@cache
def _tables(table: int, quality: int) -> tuple[tuple[int, ...], ...]:
    data = vips_image(Image.new("RGB", (8, 8))).jpegsave_buffer(Q=max(1, quality), quant_table=table)
    return quantisation.read_tables(data)
