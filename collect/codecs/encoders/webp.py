"""WebP, as libwebp writes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

from PIL import Image

from collect.codecs.encoders import BlockTransform, Encoder, Rendition
from collect.codecs.headers import webp
from collect.codecs.quality_search import PROBES, nearest_by, qualities_around
from collect.codecs.quantisation import Tables

METHODS = (4, 6, 5, 3, 2, 1, 0)  # the likeliest first; each cuts an image into segments in its own way


class Webp(Encoder):
    software = "libwebp"
    forms = "webp:QUALITY[:mMETHOD], webp:lossless"
    format, media_type = "WEBP", "image/webp"
    choices: ClassVar = {f"m{method}": {"method": method} for method in range(7)}
    transform = BlockTransform(4, (2, 2))

    def strength(self, arguments: tuple[str, ...]) -> dict[str, Any]:
        self.is_lossless = arguments == ("lossless",)
        return {"lossless": True} if self.is_lossless else super().strength(arguments)

    @classmethod
    def variant(cls, file: Path) -> str:
        return "lossless" if webp.webp(file.read_bytes()).lossless else "lossy"

    @classmethod
    def guesses(cls, seen: Sequence[Rendition], tables: Sequence[Tables]) -> Iterator[str]:
        if cls.variant(seen[0].file) == "lossless":
            yield "webp:lossless"
            return
        images = [each.before() for each in seen[:PROBES]]
        fineness = -sum(_quantisers(each.file.read_bytes()) for each in seen[:PROBES])
        for method in METHODS:
            quality = nearest_by(partial(_fineness, images, method), fineness)
            yield from (f"webp:{other}:m{method}" for other in qualities_around(quality))


def _fineness(images: Sequence[Image.Image], method: int, quality: int) -> float:
    return -sum(_quantisers(Webp(str(quality), f"m{method}").encode(image)) for image in images)


def _quantisers(data: bytes) -> float:
    found = webp.webp(data)
    return found.quantiser + fmean(found.segments)
