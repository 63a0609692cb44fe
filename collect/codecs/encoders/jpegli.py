"""JPEG, as Google's jpegli writes it: 4:2:0, with tables of its own and a dead zone that follows the image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

from PIL import Image

from collect.codecs import quantisation
from collect.codecs.encoders import BlockTransform, Encoder, Rendition
from collect.codecs.encoders.jpeg import Jpeg
from collect.codecs.profiles import in_jpeg
from collect.codecs.quality_search import nearest_by
from collect.codecs.quantisation import Tables
from collect.codecs.steps.backends import backend, is_installed

PACKAGE = "pyjpegli"


class Jpegli(Encoder):
    software = "jpegli"
    forms = "jpegli:QUALITY"
    format, media_type = "JPEG", "image/jpeg"
    lowest_quality = 1
    place = 1
    transform = BlockTransform(8, (2, 2))

    def steps(self) -> Tables:
        return _tables(self.options["quality"])

    def encode(self, image: Image.Image) -> bytes:
        data = backend(PACKAGE).encode(image.tobytes(), *image.size, self.options["quality"])
        return in_jpeg(data, image.info.get("icc_profile"))

    variant = Jpeg.variant

    @classmethod
    def guesses(cls, seen: Sequence[Rendition], tables: Sequence[Tables]) -> Iterator[str]:
        if len(tables) == 1 and is_installed(PACKAGE):
            luma = tuple(tables[0][0])
            quality = max(1, nearest_by(lambda quality: -sum(_tables(quality)[0]), -sum(luma)))
            if _tables(quality)[0] == luma:
                yield f"jpegli:{quality}"


@cache
def _tables(quality: int) -> tuple[tuple[int, ...], ...]:
    return quantisation.read_tables(Jpegli(str(max(1, quality))).encode(Image.new("RGB", (8, 8))))
