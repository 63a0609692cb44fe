"""AVIF, as libavif writes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import ClassVar

from PIL import Image

from collect.codecs.encoders import SAMPLINGS, Encoder, Rendition
from collect.codecs.headers.avif import avif
from collect.codecs.quality_search import nearest_by, qualities_around
from collect.codecs.quantisation import Tables

SPEEDS = (6, 8, 9, 10, 7, 5, 4)  # the likeliest first; the others take seconds an image


class Avif(Encoder):
    software = "libavif"
    forms = "avif:QUALITY[:444|422|420][:sSPEED]"
    format, media_type = "AVIF", "image/avif"
    fixed: ClassVar = {"max_threads": 1}  # their number can change the bytes
    choices = SAMPLINGS | {f"s{speed}": {"speed": speed} for speed in range(11)}

    @classmethod
    def variant(cls, file: Path) -> str:
        sampling = avif(file.read_bytes()).sampling
        if sampling not in SAMPLINGS:
            raise ValueError(f"an AVIF of sampling {sampling}")
        return sampling

    @classmethod
    def guesses(cls, seen: Sequence[Rendition], tables: Sequence[Tables]) -> Iterator[str]:
        found = avif(seen[0].file.read_bytes())
        quality = nearest_by(lambda quality: -_quantiser(quality), -found.quantiser)
        alike = [other for other in qualities_around(quality) if _quantiser(other) == _quantiser(quality)]
        for speed, other in product(SPEEDS, alike):
            yield f"avif:{other}:{found.sampling}:s{speed}"


@cache
def _quantiser(quality: int) -> int:
    """Return the quantiser of a quality, which is the same for every image and speed."""
    return avif(Avif(str(quality), "s10").encode(Image.new("RGB", (16, 16)))).quantiser
