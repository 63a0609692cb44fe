"""WebP, as libwebp writes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

from PIL import Image

from collect.codecs.encoders import BlockTransform, Encoder, Rendition
from collect.codecs.headers import webp
from collect.codecs.headers.webp import WebP
from collect.codecs.profiles import in_webp
from collect.codecs.quality_search import PROBES, nearest_by, qualities_around
from collect.codecs.quantisation import Tables
from collect.codecs.steps.backends import backend, is_installed

PACKAGE = "webp"  # for what Pillow can't tell libwebp
METHODS = (4, 6, 5, 3, 2, 1, 0)  # the likeliest first; each cuts an image into segments in its own way
AUTOFILTER, SHARP_YUV = "af", "sharp_yuv"
PRESETS = {3: "photo", 4: "picture", 6: "drawing"}  # by the sharpness that they set
RARE_QUALITIES = 3  # that are tried with each rare option
MOST_STRENGTHS = 5  # of the filter that are tried
AFTER_PASS = 11  # numbers from WebPConfig's `pass`, the last that the package names, to `use_sharp_yuv`
LEVEL_JITTER = 1.1  # times the filter's level and 1 more: what a quality beside the right one changes


class Webp(Encoder):
    software = "libwebp"
    forms = (
        "webp:QUALITY[:mMETHOD][:fSTRENGTH][:sSHARPNESS][:af][:snsSTRENGTH]"
        "[:photo|picture|drawing|icon|text][:sharp_yuv], webp:lossless"
    )
    format, media_type = "WEBP", "image/webp"
    choices: ClassVar = (
        {f"m{method}": {"method": method} for method in range(7)}
        | {f"f{strength}": {"filter_strength": strength} for strength in range(101)}
        | {f"s{sharpness}": {"filter_sharpness": sharpness} for sharpness in range(8)}
        | {f"sns{strength}": {"sns_strength": strength} for strength in range(101)}
        | {preset: {"preset": preset} for preset in (*PRESETS.values(), "icon", "text")}
        | {AUTOFILTER: {"autofilter": 1}, SHARP_YUV: {"use_sharp_yuv": 1}}
    )
    transform = BlockTransform(4, (2, 2))

    def strength(self, arguments: tuple[str, ...]) -> dict[str, Any]:
        self.is_lossless = arguments == ("lossless",)
        return {"lossless": True} if self.is_lossless else super().strength(arguments)

    def encode(self, image: Image.Image) -> bytes:
        if self.options.keys() <= {"lossless", "quality", "method"}:
            return super().encode(image)
        library, settings = backend(PACKAGE), dict(self.options)
        preset = library.WebPPreset[settings.pop("preset", "default").upper()]
        config = library.WebPConfig.new(preset, settings.pop("quality"), method=settings.pop("method", None))
        if settings.pop("use_sharp_yuv", 0):
            ffi = library.ffi
            ffi.cast("int *", ffi.addressof(config.ptr, "pass"))[AFTER_PASS] = 1
        for name, value in settings.items():
            setattr(config.ptr, name, value)
        data = bytes(library.WebPPicture.from_pil(image).encode(config).buffer())
        return in_webp(data, image.size, image.info.get("icc_profile"))

    @classmethod
    def variant(cls, file: Path) -> str:
        return "lossless" if webp.webp(file.read_bytes()).lossless else "lossy"

    @classmethod
    def guesses(cls, seen: Sequence[Rendition], tables: Sequence[Tables]) -> Iterator[str]:
        if cls.variant(seen[0].file) == "lossless":
            yield "webp:lossless"
            return
        probes = _Probes(seen[:PROBES])
        yield from probes.plain_guesses()
        if is_installed(PACKAGE):
            yield from probes.rarer_guesses()


class _Probes:
    """Files whose headers are compared with those that settings give."""

    def __init__(self, renditions: Sequence[Rendition]) -> None:
        self.images = [each.before() for each in renditions]
        self.seen = [webp.webp(each.file.read_bytes()) for each in renditions]
        self.headers: dict[tuple[str, ...], list[WebP]] = {}

    def plain_guesses(self) -> Iterator[str]:
        """List encoders of the files' sharpness by method and quality."""
        for method, style in product(METHODS, self.styles()):
            options = (f"m{method}", *style)
            for quality in qualities_around(self.quality(options)):
                yield ":".join(["webp", str(quality), *options])

    def rarer_guesses(self) -> Iterator[str]:
        """List encoders with a filter of another strength, and with sharp colours."""
        distances = [self.distance((f"m{method}", *self.styles()[0])) for method in METHODS]
        for (method, distance), style in product(zip(METHODS, distances, strict=True), self.styles()):
            options = (f"m{method}", *style)
            likely = self.quality(options)
            extras: list[tuple[str, ...]] = [(SHARP_YUV,)]  # which changes the quantisers, and so hides the method
            if distance == min(distances):
                extras.append((AUTOFILTER,))
                if not self.is_near(likely, *options):
                    filters = [f"f{strength}" for strength in self.strengths(likely, options)]
                    extras += [(each, *more) for more in ((), (SHARP_YUV,)) for each in filters]
            for extra, quality in product(extras, qualities_around(likely)[:RARE_QUALITIES]):
                yield ":".join(["webp", str(quality), *options, *extra])

    def styles(self) -> list[tuple[str, ...]]:
        """List options that make the files' sharpness."""
        sharpness = self.seen[0].sharpness
        if not sharpness or not is_installed(PACKAGE):
            return [()]
        return [*([(PRESETS[sharpness],)] if sharpness in PRESETS else []), (f"s{sharpness}",)]

    def quality(self, options: Sequence[str]) -> int:
        """Return the quality whose quantisers come nearest to the files'."""
        return nearest_by(lambda quality: -_quantisers(self.made(quality, *options)), -_quantisers(self.seen))

    def distance(self, options: Sequence[str]) -> float:
        return abs(_quantisers(self.made(self.quality(options), *options)) - _quantisers(self.seen))

    def strengths(self, quality: int, options: Sequence[str]) -> list[int]:
        """List strengths that bring the filter's levels to those seen, round ones first: many have the same levels."""
        levels = [each.filter_level for each in self.seen]
        rounded = sorted(range(0, 101, 5), key=lambda strength: strength % 10)
        exact = [strength for strength in rounded if self.levels(quality, *options, f"f{strength}") == levels]
        if not exact:
            exact = [nearest_by(lambda strength: sum(self.levels(quality, *options, f"f{strength}")), sum(levels))]
        return exact[:MOST_STRENGTHS]

    def is_near(self, quality: int, *options: str) -> bool:
        levels = zip(self.levels(quality, *options), (each.filter_level for each in self.seen), strict=True)
        return all(max(pair) <= LEVEL_JITTER * min(pair) + 1 for pair in levels)

    def levels(self, quality: int, *options: str) -> list[int]:
        return [each.filter_level for each in self.made(quality, *options)]

    def made(self, quality: int, *options: str) -> list[WebP]:
        """Return the headers of the images' files by settings."""
        settings = (str(quality), *options)
        if settings not in self.headers:
            self.headers[settings] = [webp.webp(Webp(*settings).encode(image)) for image in self.images]
        return self.headers[settings]


def _quantisers(found: Sequence[WebP]) -> float:
    return sum(each.quantiser + fmean(each.segments) for each in found)
