"""AVIF, as libvips and sharp write it by libheif: other colours and other settings of libaom than libavif's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from typing import Any, ClassVar

from PIL import Image

from collect.codecs.encoders import Encoder, Rendition
from collect.codecs.encoders.avif import Avif
from collect.codecs.headers.avif import avif
from collect.codecs.quality_search import nearest_by, qualities_around
from collect.codecs.quantisation import Tables
from collect.codecs.steps.backends import backend, is_installed
from collect.codecs.vips import PACKAGE, vips_image

SAMPLINGS: dict[str, dict[str, Any]] = {"444": {"subsample_mode": "off"}, "420": {"subsample_mode": "on"}}
EFFORTS = (4, 3, 2, 5, 1, 0)  # the likeliest first: 4 is libvips' and sharp's own; higher ones take seconds an image


THREADS = (1, 2, 4, 8, 16)  # an image is cut into as many tiles, where it is large enough


class VipsAvif(Encoder):
    software = "AVIF by libvips or sharp"
    forms = "vips_avif:QUALITY[:444|420][:eEFFORT][:tTHREADS]"
    format, media_type = "AVIF", "image/avif"
    lowest_quality = 1
    place = 1
    fixed: ClassVar = SAMPLINGS["444"] | {"effort": 4, "threads": 1}
    choices: ClassVar = (
        SAMPLINGS
        | {f"e{effort}": {"effort": effort} for effort in range(10)}
        | {f"t{threads}": {"threads": threads} for threads in THREADS}
    )

    def strength(self, arguments: tuple[str, ...]) -> dict[str, Any]:
        return {"Q": super().strength(arguments)["quality"]}

    def encode(self, image: Image.Image) -> bytes:
        options = self.options | {"compression": "av1", "bitdepth": 8, "keep": "icc"}
        handed = vips_image(image)
        backend(PACKAGE).concurrency_set(options.pop("threads"))  # of the whole process
        data: bytes = handed.heifsave_buffer(**options)
        return data

    variant = Avif.variant

    @classmethod
    def guesses(cls, seen: Sequence[Rendition], tables: Sequence[Tables]) -> Iterator[str]:
        found = avif(seen[0].file.read_bytes())
        threads = max(avif(each.file.read_bytes()).tiles for each in seen)
        if found.sampling not in SAMPLINGS or threads not in THREADS or not is_installed(PACKAGE):
            return
        quality = nearest_by(lambda quality: -_quantiser(quality), -found.quantiser)
        alike = [other for other in qualities_around(quality) if _quantiser(other) == found.quantiser]
        for effort, other in product(EFFORTS, alike):
            yield f"vips_avif:{other}:{found.sampling}:e{effort}" + (f":t{threads}" if threads > 1 else "")


@cache
def _quantiser(quality: int) -> int:
    """Return the quantiser of a quality, which is the same for every image and effort."""
    return avif(VipsAvif(str(max(1, quality)), "e0").encode(Image.new("RGB", (16, 16)))).quantiser
