"""Decoders of JPEG uploads other than Pillow's libjpeg-turbo, one file each; a chain begins with `decode:NAME`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import NamedTuple

from PIL import Image

from collect.codecs.steps.backends import is_installed

__all__ = ["DECODE", "Decoder", "all_decoders", "installed_decoders"]

DECODE = "decode:"


class Decoder(NamedTuple):
    """How a JPEG's bytes become an RGB image, not yet turned upright; `package` is what has to be installed."""

    decode: Callable[[bytes], Image.Image]
    package: str


@cache
def all_decoders() -> dict[str, Decoder]:
    """List the DECODER of every file in this folder, by the step that begins a chain."""
    return {f"{DECODE}{file.name}": import_module(f"{__name__}.{file.name}").DECODER for file in iter_modules(__path__)}


def installed_decoders() -> list[str]:
    """List the steps whose libraries are there, after the empty step that stands for Pillow's own."""
    return ["", *(step for step, decoder in all_decoders().items() if is_installed(decoder.package))]
