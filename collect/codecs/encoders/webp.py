"""WebP, as libwebp writes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
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
QUALITIES, RARE_QUALITIES = 7, 3  # that are tried around the likeliest
STRENGTHS_AROUND = 10  # of the filter, on each side: many have the same levels
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
        yield from probes.guesses([()], QUALITIES)
        if is_installed(PACKAGE):
            yield from probes.guesses([(AUTOFILTER,), (SHARP_YUV,)], RARE_QUALITIES)


class _Probes:
    """Files whose headers are compared with those that settings give."""

    def __init__(self, renditions: Sequence[Rendition]) -> None:
        self.images = [each.before() for each in renditions]
        self.seen = [webp.webp(each.file.read_bytes()) for each in renditions]
        self.headers: dict[tuple[str, ...], list[WebP]] = {}

    def guesses(self, extras: Sequence[tuple[str, ...]], qualities: int) -> Iterator[str]:
        """List encoders by method, with each of the extra options, at so many qualities around the likeliest."""
        for method, style, extra in product(METHODS, self.styles(), extras):
            options = (f"m{method}", *style)
            quality = nearest_by(partial(self.fineness, options), -sum(map(_quantisers, self.seen)))
            filters = [()] if AUTOFILTER in extra else self.filters(quality, (*options, *extra))
            for filtered, other in product(filters, qualities_around(quality)[:qualities]):
                yield ":".join(["webp", str(other), *options, *filtered, *extra])

    def styles(self) -> list[tuple[str, ...]]:
        """List options that make the files' sharpness."""
        sharpness = self.seen[0].sharpness
        if not sharpness or not is_installed(PACKAGE):
            return [()]
        return [*([(PRESETS[sharpness],)] if sharpness in PRESETS else []), (f"s{sharpness}",)]

    def fineness(self, options: Sequence[str], quality: int) -> float:
        return -sum(map(_quantisers, self.made(quality, *options)))

    def filters(self, quality: int, options: Sequence[str]) -> list[tuple[str, ...]]:
        """List options that bring the filter's levels to those seen; the empty one where they are there without."""
        if self.is_near(quality, *options) or not is_installed(PACKAGE):
            return [()]
        levels = [each.filter_level for each in self.seen]
        strength = nearest_by(lambda strength: sum(self.levels(quality, *options, f"f{strength}")), sum(levels))
        alike = [other for other in range(101) if abs(other - strength) <= STRENGTHS_AROUND]
        exact = [other for other in alike if self.levels(quality, *options, f"f{other}") == levels] or [strength]
        return [(f"f{other}",) for other in sorted(exact, key=lambda other: (other % 10 > 0, other % 5 > 0))]

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


def _quantisers(found: WebP) -> float:
    return found.quantiser + fmean(found.segments)
