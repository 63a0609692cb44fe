"""Real encoders by a short name, alone or after image steps: `jpeg:75`, `resize:0.75+sharpen:0.4+webp:50`."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

from PIL import Image, ImageOps

from collect.codecs.decoders import DECODE, all_decoders
from collect.codecs.encoders import Encoder, all_encoders, encoder
from collect.codecs.filters import all_filters, filter_step
from collect.codecs.kernels import SIZE_STEPS, Kernel, SizeRule, all_kernels, resize_step
from collect.codecs.quantisation import Tables
from collect.codecs.steps.pixels import Pixels, to_image
from collect.codecs.steps.sizes import LARGEST_SIDE

RESIZE_FORMS = (
    "resize:SCALE[:KERNEL][:ROUNDING]+, fit|short|width|height:PIXELS[:…][:enlarge]+, box|cover|size:WIDTHxHEIGHT[:…]+"
)
LARGEST_AREA = 100_000_000  # pixels

Step = Callable[[Pixels], Pixels]
Upload = Image.Image | Path


def encode(image: Upload, codec: str, tables: Tables | None = None) -> bytes:
    """Apply a codec's steps and encode.

    A file is read upright (where it is a JPEG, by the decoder that the codec begins with, if it does). An image is
    taken as RGB, 8 bits (other modes are converted as Pillow does). Its colour profile
    (`image.info["icc_profile"]`) is kept, other metadata are not. Equal pixels give equal bytes.
    Raises ValueError when the codec is wrong (see `check`) or makes the image too large.

    - A resize step is a size rule (`SizeRule`) and a KERNEL, one of `all_kernels`, lanczos unless given; its
      ROUNDING is one of `ROUNDINGS`, even unless given. Only `resize` enlarges unless told to.
    - A filter is one of `all_filters`.
    - One of `all_decoders` may stand first: it decodes a file that is a JPEG; Pillow does it unless given.
    - An encoder that is not the last encodes and decodes, as a platform does that keeps an upload first.
    - `jpeg` is 4:2:0, baseline, with the standard's Huffman tables unless told otherwise; `jpeg:tables`
      quantises by `tables`: luma and chroma, 64 numbers each, row by row.
    - `webp` takes a METHOD, and `avif` a SPEED, as their libraries count them; Pillow's own unless given. The other
      options of `webp` are cwebp's: filter strength and sharpness, autofilter, noise shaping, presets, sharp YUV.
    - `mozjpeg` is as cjpeg and sharp have it: progressive, 4:2:0, with its table 3; options are cjpeg's.
    - `vips_avif` is sharp's: 4:4:4, effort 4, one thread.
    - `jp2:RATE` is JPEG 2000 by compression rate: 10 keeps a tenth of the raw bytes. `jp2:40dB` aims at a
      PSNR. `irreversible` is the 9/7 wavelet in place of the 5/3.
    """
    steps, last = _parse(codec, tables)
    image = _read(image, codec)
    profile = image.info.get("icc_profile")
    image = _apply(steps, image)
    image.info = {"icc_profile": profile} if profile else {}
    return _save(image, last)


def before_encoding(image: Upload, codec: str) -> Image.Image:
    """Apply a codec's steps but not its last encoder; takes and raises what `encode` does."""
    return _apply(_steps(codec.split("+")[:-1], None), _read(image, codec))


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
        filters = "+, ".join(each.forms for each in all_filters().values())
        steps_known = f"after any number of {RESIZE_FORMS}, {filters}+ and earlier encoders"
        raise ValueError(f"codec {codec!r}: {error}; use {forms}, {steps_known}") from None


def _steps(parts: list[str], tables: Tables | None) -> list[Step]:
    if parts and parts[0].startswith(DECODE):
        if parts[0] not in all_decoders():
            raise ValueError(f"there is no decoder {parts[0]!r}; there are {', '.join(all_decoders())}")
        parts = parts[1:]
    return [_step(*part.split(":"), tables=tables) for part in parts]


def _read(upload: Upload, codec: str) -> Image.Image:
    if isinstance(upload, Image.Image):
        return upload
    with Image.open(upload) as file:
        first = codec.partition("+")[0]
        if file.format != "JPEG" or not first.startswith(DECODE):
            return ImageOps.exif_transpose(file)
        turned = file.getexif()
        image = all_decoders()[first].decode(upload.read_bytes())
        image.getexif().update(turned)
        image.info["icc_profile"] = file.info.get("icc_profile")
        return ImageOps.exif_transpose(image)


def _step(name: str, *arguments: str, tables: Tables | None) -> Step:
    if name in all_encoders():
        return partial(_encode_and_decode, by=encoder(name, *arguments, tables=tables))
    if name in all_filters():
        return filter_step(name, *arguments)
    if name in SIZE_STEPS:
        rule, kernel = resize_step(name, *arguments)
        return partial(_resize, rule=rule, kernel=all_kernels()[kernel])
    raise ValueError(f"{name!r} is no image step")


def _apply(steps: list[Step], image: Image.Image) -> Image.Image:
    image = image.convert("RGB")  # always a copy
    image.info = {}
    pixels: Pixels = image
    for step in steps:
        pixels = step(pixels)
    return to_image(pixels)


def _resize(pixels: Pixels, rule: SizeRule, kernel: Kernel) -> Pixels:
    image = to_image(pixels)
    width, height = rule.scaled(image.size)
    if max(width, height) > LARGEST_SIDE or width * height > LARGEST_AREA:
        raise ValueError(f"{rule.by} would make the image {width}x{height} pixels, which is too large")
    scaled: Pixels = image
    if (width, height) != image.size:
        more = [rule.scales(image.size)] if kernel.takes_scales else []
        scaled = kernel.resize(image, (width, height), *more)
    kept = rule.kept((width, height))
    return scaled if kept is None else to_image(scaled).crop(kept)


def decoded(image: Upload, codec: str, tables: Tables | None = None) -> Image.Image:
    """Encode as `encode` does, and decode to RGB."""
    with Image.open(io.BytesIO(encode(image, codec, tables))) as served:
        return served.convert("RGB")


def _encode_and_decode(pixels: Pixels, by: Encoder) -> Image.Image:
    with Image.open(io.BytesIO(_save(to_image(pixels), by))) as decoded:
        return decoded.convert("RGB")


def _save(image: Image.Image, by: Encoder) -> bytes:
    if max(image.size) > LARGEST_SIDE:
        raise ValueError(f"{image.width}x{image.height} pixels: a side may have at most {LARGEST_SIDE}")
    return by.encode(image)
