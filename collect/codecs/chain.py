"""Real encoders by a short name, alone or after image steps: `jpeg:75`, `resize:0.75+sharpen:0.4+webp:50`."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial

from PIL import Image, ImageFilter

from collect.codecs.encoders import Encoder, all_encoders, encoder, number
from collect.codecs.kernels import Kernel, all_kernels, resized
from collect.codecs.quantisation import Tables

STEP_FORMS = (
    "after any number of resize:SCALE[:KERNEL]+, fit:SIDE[:KERNEL]+, width:WIDTH[:KERNEL]+, sharpen:AMOUNT+ "
    "and earlier encoders"
)
LARGEST_SIDE = 16383  # pixels; WebP's limit, the smallest among the formats
LARGEST_AREA = 100_000_000  # pixels

Step = Callable[[Image.Image], Image.Image]


def encode(image: Image.Image, codec: str, tables: Tables | None = None) -> bytes:
    """Apply a codec's steps and encode.

    The image is taken as RGB, 8 bits (other modes are converted as Pillow does). Its colour profile
    (`image.info["icc_profile"]`) is kept, other metadata are not. Equal pixels give equal bytes.
    Raises ValueError when the codec is wrong (see `check`) or makes the image too large.

    - `resize:SCALE` multiplies both sides; `fit:SIDE` and `width:WIDTH` shrink the longest side or the
      width to at most that many pixels, and never enlarge. KERNEL is one of `all_kernels`, lanczos unless given.
    - `sharpen:AMOUNT` adds AMOUNT times the difference from a blurred copy, which the 3x3 kernel
      (1 2 1, 2 4 2, 1 2 1)/16 makes; rounded and clipped to 0-255; the outermost pixels stay as they are.
    - An encoder that is not the last encodes and decodes, as a platform does that keeps an upload first.
    - `jpeg` is 4:2:0, baseline, with the standard's Huffman tables unless told otherwise; `jpeg:tables`
      quantises by `tables`: luma and chroma, 64 numbers each, row by row.
    - `webp` takes a METHOD, and `avif` a SPEED, as their libraries count them; Pillow's own unless given.
    - `jp2:RATE` is JPEG 2000 by compression rate: 10 keeps a tenth of the raw bytes. `jp2:40dB` aims at a
      PSNR. `irreversible` is the 9/7 wavelet in place of the 5/3.
    """
    steps, last = _parse(codec, tables)
    profile = image.info.get("icc_profile")
    image = _apply(steps, image)
    image.info = {"icc_profile": profile} if profile else {}
    return _save(image, last)


def before_encoding(image: Image.Image, codec: str) -> Image.Image:
    """Apply a codec's steps but not its last encoder; takes and raises what `encode` does."""
    return _apply(_steps(codec.split("+")[:-1], None), image)


def check(codec: str, tables: Tables | None = None) -> None:
    """Raise ValueError, naming the part that is wrong and the forms that exist."""
    _parse(codec, tables)


def media_type(codec: str) -> str:
    """Name the media type of the codec's files; raises ValueError as `check` does."""
    return _parse(codec, None)[1].media_type


def _parse(codec: str, tables: Tables | None) -> tuple[list[Step], Encoder]:
    *steps, last = codec.split("+")
    try:
        return _steps(steps, tables), encoder(*last.split(":"), tables=tables)
    except ValueError as error:
        forms = ", ".join(each.forms for each in all_encoders().values())
        raise ValueError(f"codec {codec!r}: {error}; use {forms}, {STEP_FORMS}") from None


def _steps(parts: list[str], tables: Tables | None) -> list[Step]:
    return [_step(*part.split(":"), tables=tables) for part in parts]


def _step(name: str, *arguments: str, tables: Tables | None) -> Step:
    if name in all_encoders():
        return partial(_encode_and_decode, by=encoder(name, *arguments, tables=tables))
    if name == "sharpen":
        amount = number(name, "amount", arguments[:1], 0, 10)
        _none_left(name, arguments[1:])
        edge, side = -amount / 16, -2 * amount / 16
        kernel = (edge, side, edge, side, 1 + 12 * amount / 16, side, edge, side, edge)
        return partial(Image.Image.filter, filter=ImageFilter.Kernel((3, 3), kernel, scale=1))
    if name in ("resize", "fit", "width"):
        size = (
            number(name, "scale", arguments[:1], 0.01, 8)
            if name == "resize"
            else number(name, "pixels", arguments[:1], 1, LARGEST_SIDE, whole=True)
        )
        kernels, by = all_kernels(), arguments[1] if arguments[1:] else "lanczos"
        if by not in kernels:
            raise ValueError(f"{name} has no kernel {by!r}; there are {', '.join(kernels)}")
        _none_left(name, arguments[2:])
        return partial(_resize, by=name, number=size, kernel=kernels[by])
    raise ValueError(f"{name!r} is no image step")


def _apply(steps: list[Step], image: Image.Image) -> Image.Image:
    image = image.convert("RGB")  # always a copy
    image.info = {}
    for step in steps:
        image = step(image)
    return image


def _resize(image: Image.Image, by: str, number: float, kernel: Kernel) -> Image.Image:
    width, height = resized(image.size, by, number)
    if max(width, height) > LARGEST_SIDE or width * height > LARGEST_AREA:
        raise ValueError(f"{by}:{number:g} would make the image {width}x{height} pixels, which is too large")
    return image if (width, height) == image.size else kernel.resize(image, (width, height))


def decoded(image: Image.Image, codec: str, tables: Tables | None = None) -> Image.Image:
    """Encode as `encode` does, and decode to RGB."""
    with Image.open(io.BytesIO(encode(image, codec, tables))) as served:
        return served.convert("RGB")


def _encode_and_decode(image: Image.Image, by: Encoder) -> Image.Image:
    with Image.open(io.BytesIO(_save(image, by))) as decoded:
        return decoded.convert("RGB")


def _save(image: Image.Image, by: Encoder) -> bytes:
    if max(image.size) > LARGEST_SIDE:
        raise ValueError(f"{image.width}x{image.height} pixels: a side may have at most {LARGEST_SIDE}")
    return by.encode(image)


def _none_left(name: str, arguments: tuple[str, ...]) -> None:
    if arguments:
        raise ValueError(f"{name}: {arguments[0]!r} is one part too many")
