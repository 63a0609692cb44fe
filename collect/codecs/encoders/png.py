"""PNG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from collect.codecs.encoders import Encoder, Rendition
from collect.codecs.quantisation import Tables


class Png(Encoder):
    software = "PNG"
    forms = "png"
    format, media_type = "PNG", "image/png"
    lowest_quality = None
    is_lossless = True

    @classmethod
    def variant(cls, file: Path) -> str:
        return "png"

    @classmethod
    def guesses(cls, seen: Sequence[Rendition], tables: Sequence[Tables]) -> Iterator[str]:
        yield "png"
