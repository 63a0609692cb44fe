"""Real encoders by a short name, alone or after image steps: `jpeg:75`, `resize:0.75+sharpen:0.4+webp:50`."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from PIL import Image, ImageFilter

FORMS = (
    "jpeg:QUALITY[:444|422|420][:progressive][:optimised], webp:QUALITY, avif:QUALITY, jp2:RATE or png, "
    "after any number of resize:SCALE[:KERNEL]+, fit:SIDE[:KERNEL]+, width:WIDTH[:KERNEL]+, sharpen:AMOUNT+"
)
KERNELS = {kernel.name.lower(): kernel for kernel in Image.Resampling}
JPEG_OPTIONS: dict[str, dict[str, Any]] = {
    "444": {"subsampling": "4:4:4"},
    "422": {"subsampling": "4:2:2"},
    "420": {"subsampling": "4:2:0"},
    "progressive": {"progressive": True},
    "optimised": {"optimize": True},
}
LARGEST_SIDE = 16383  # pixels; WebP's limit, the smallest among the formats
LARGEST_AREA = 100_000_000  # pixels

Step = Callable[[Image.Image], Image.Image]


class Encoder(NamedTuple):
    """Pillow's name of a format, its options and its media type."""

    format: str
    options: dict[str, Any]
    media_type: str


def encode(image: Image.Image, codec: str) -> bytes:
    """Apply a codec's steps and encode.

    The image is taken as RGB, 8 bits (other modes are converted as Pillow does). Its colour profile
    (`image.info["icc_profile"]`) is kept, other metadata are not. Equal pixels give equal bytes.
    Raises ValueError when the codec is wrong (see `check`) or makes the image too large.

    - `resize:SCALE` multiplies both sides; `fit:SIDE` and `width:WIDTH` shrink the longest side or the
      width to at most that many pixels, and never enlarge. KERNEL is one of Pillow's, lanczos unless given.
    - `sharpen:AMOUNT` adds AMOUNT times the difference from a blurred copy, which the 3x3 kernel
      (1 2 1, 2 4 2, 1 2 1)/16 makes; rounded and clipped to 0-255; the outermost pixels stay as they are.
    - `jpeg` is 4:2:0, baseline, with the standard's Huffman tables unless told otherwise.
    - `jp2:RATE` is JPEG 2000 by compression rate: 10 keeps a tenth of the raw bytes.
    """
    steps, encoder = _parse(codec)
    profile = image.info.get("icc_profile")
    image = image.convert("RGB")  # always a copy
    for step in steps:
        image = step(image)
    if max(image.size) > LARGEST_SIDE:
        raise ValueError(f"{image.width}x{image.height} pixels: a side may have at most {LARGEST_SIDE}")
    image.info = {"icc_profile": profile} if profile else {}
    file = io.BytesIO()
    # Pillow writes a JPEG's profile only when told
    image.save(file, encoder.format, icc_profile=profile, **encoder.options)
    return file.getvalue()


def check(codec: str) -> None:
    """Raise ValueError, naming the part that is wrong and the forms that exist."""
    _parse(codec)


def media_type(codec: str) -> str:
    """Name the media type of the codec's files; raises ValueError as `check` does."""
    return _parse(codec)[1].media_type


def _parse(codec: str) -> tuple[list[Step], Encoder]:
    *steps, encoder = codec.split("+")
    try:
        return [_step(*each.split(":")) for each in steps], _encoder(*encoder.split(":"))
    except ValueError as error:
        raise ValueError(f"codec {codec!r}: {error}; use {FORMS}") from None


def _step(name: str, *arguments: str) -> Step:
    if name == "sharpen":
        amount = _number(name, "amount", arguments[:1], 0, 10)
        _none_left(name, arguments[1:])
        edge, side = -amount / 16, -2 * amount / 16
        kernel = (edge, side, edge, side, 1 + 12 * amount / 16, side, edge, side, edge)
        return partial(Image.Image.filter, filter=ImageFilter.Kernel((3, 3), kernel, scale=1))
    if name in ("resize", "fit", "width"):
        number = (
            _number(name, "scale", arguments[:1], 0.01, 8)
            if name == "resize"
            else _number(name, "pixels", arguments[:1], 1, LARGEST_SIDE, whole=True)
        )
        if arguments[1:2] and arguments[1] not in KERNELS:
            raise ValueError(f"{name} has no kernel {arguments[1]!r}; there are {', '.join(KERNELS)}")
        _none_left(name, arguments[2:])
        kernel_name = arguments[1] if arguments[1:] else "lanczos"
        return partial(_resize, by=name, number=number, kernel=KERNELS[kernel_name])
    raise ValueError(f"{name!r} is no image step")


def _resize(image: Image.Image, by: str, number: float, kernel: Image.Resampling) -> Image.Image:
    sides = {"fit": max(image.size), "width": image.width}
    scale = min(1.0, number / sides[by]) if by in sides else number
    width, height = (max(1, round(side * scale)) for side in image.size)
    if max(width, height) > LARGEST_SIDE or width * height > LARGEST_AREA:
        raise ValueError(f"{by}:{number:g} would make the image {width}x{height} pixels, which is too large")
    return image if (width, height) == image.size else image.resize((width, height), kernel)


def _encoder(name: str, *arguments: str) -> Encoder:
    if name == "jpeg":
        return Encoder("JPEG", _jpeg_options(arguments), "image/jpeg")
    if name == "png":
        _none_left(name, arguments)
        return Encoder("PNG", {}, "image/png")
    if name not in ("webp", "avif", "jp2"):
        raise ValueError(f"{name!r} is no encoder")
    _none_left(name, arguments[1:])
    if name == "jp2":
        rate = _number(name, "rate", arguments[:1], 1, 1000)
        return Encoder("JPEG2000", {"quality_mode": "rates", "quality_layers": [rate]}, "image/jp2")
    quality = int(_number(name, "quality", arguments[:1], 0, 100, whole=True))
    # the number of threads can change an AVIF's bytes
    options = {"quality": quality} | ({"max_threads": 1} if name == "avif" else {})
    return Encoder(name.upper(), options, f"image/{name}")


def _jpeg_options(arguments: tuple[str, ...]) -> dict[str, Any]:
    quality = int(_number("jpeg", "quality", arguments[:1], 1, 100, whole=True))
    options: dict[str, Any] = {}
    for argument in arguments[1:]:
        if argument not in JPEG_OPTIONS:
            raise ValueError(f"jpeg has no option {argument!r}; there are {', '.join(JPEG_OPTIONS)}")
        if JPEG_OPTIONS[argument].keys() & options.keys():
            raise ValueError(f"jpeg: {argument!r} is one option too many")
        options |= JPEG_OPTIONS[argument]
    return {"quality": quality, "subsampling": "4:2:0"} | options


def _number(name: str, what: str, arguments: tuple[str, ...], low: float, high: float, whole: bool = False) -> float:
    pattern = r"[0-9]{1,9}" if whole else r"[0-9]{1,9}(\.[0-9]{1,9})?"
    if not arguments or not re.fullmatch(pattern, arguments[0]) or not low <= float(arguments[0]) <= high:
        given = f"{arguments[0]!r} is no {what}" if arguments else f"the {what} is missing"
        raise ValueError(f"{name}: {given} ({'a whole number' if whole else 'a number'}, {low} to {high})")
    return float(arguments[0])


def _none_left(name: str, arguments: tuple[str, ...]) -> None:
    if arguments:
        raise ValueError(f"{name}: {arguments[0]!r} is one part too many")
