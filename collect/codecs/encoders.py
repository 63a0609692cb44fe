"""Encoders by a short name: what Pillow is told for `jpeg:75:444`, `webp:50:m6` or `avif:50:422:s8`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

FORMS = (
    "jpeg:QUALITY[:444|422|420][:progressive][:optimised], jpeg:tables[:444|…], webp:QUALITY[:mMETHOD], webp:lossless, "
    "avif:QUALITY[:444|422|420][:sSPEED], jp2:RATE[:irreversible], jp2:DECIBELSdB[:irreversible] or png"
)
SAMPLINGS: dict[str, dict[str, Any]] = {
    "444": {"subsampling": "4:4:4"},
    "422": {"subsampling": "4:2:2"},
    "420": {"subsampling": "4:2:0"},
}
OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "jpeg": SAMPLINGS | {"progressive": {"progressive": True}, "optimised": {"optimize": True}},
    "webp": {f"m{method}": {"method": method} for method in range(7)},
    "avif": SAMPLINGS | {f"s{speed}": {"speed": speed} for speed in range(11)},
    "jp2": {"irreversible": {"irreversible": True}},
    "png": {},
}
FORMATS = {"jpeg": "JPEG", "webp": "WEBP", "avif": "AVIF", "jp2": "JPEG2000", "png": "PNG"}
LARGEST_STEP = 32767  # of a quantisation table

Tables = Sequence[Sequence[int]]  # luma and chroma; 64 numbers each, row by row (not zigzag)


class Encoder(NamedTuple):
    """Pillow's name of a format, its options and its media type."""

    format: str
    options: dict[str, Any]
    media_type: str


def encoder(name: str, *arguments: str, tables: Tables | None = None) -> Encoder:
    """Look up an encoder's format and options; raises ValueError, which names the part that is wrong."""
    if name not in FORMATS:
        raise ValueError(f"{name!r} is no encoder")
    options: dict[str, Any] = {}
    if name != "png":
        options, arguments = _strength(name, arguments[:1], tables), arguments[1:]
    chosen: dict[str, Any] = {}
    for argument in arguments:
        known = OPTIONS[name]
        if argument not in known:
            raise ValueError(f"{name} has no option {argument!r}; there are {', '.join(known) or 'none'}")
        if known[argument].keys() & chosen.keys() or "lossless" in options:
            raise ValueError(f"{name}: {argument!r} is one option too many")
        chosen |= known[argument]
    if name == "jpeg":
        options |= {"subsampling": "4:2:0"}
    return Encoder(FORMATS[name], options | chosen, f"image/{name}")


def number(name: str, what: str, arguments: tuple[str, ...], low: float, high: float, whole: bool = False) -> float:
    """Read the first argument as a number between two bounds; raises ValueError."""
    pattern = r"[0-9]{1,9}" if whole else r"[0-9]{1,9}(\.[0-9]{1,9})?"
    if not arguments or not re.fullmatch(pattern, arguments[0]) or not low <= float(arguments[0]) <= high:
        given = f"{arguments[0]!r} is no {what}" if arguments else f"the {what} is missing"
        raise ValueError(f"{name}: {given} ({'a whole number' if whole else 'a number'}, {low} to {high})")
    return float(arguments[0])


def _strength(name: str, arguments: tuple[str, ...], tables: Tables | None) -> dict[str, Any]:
    """Read how strongly to compress, an encoder's first argument."""
    if (name, arguments) == ("jpeg", ("tables",)):
        return {"qtables": _checked(tables)}
    if (name, arguments) == ("webp", ("lossless",)):
        return {"lossless": True}
    if name == "jp2":
        mode, what, low = "rates", "rate", 1
        if arguments and arguments[0].endswith("dB"):
            mode, what, low, arguments = "dB", "PSNR before dB", 10, (arguments[0].removesuffix("dB"),)
        return {"quality_mode": mode, "quality_layers": [number(name, what, arguments, low, 1000 if low == 1 else 100)]}
    quality = int(number(name, "quality", arguments, 1 if name == "jpeg" else 0, 100, whole=True))
    # the number of threads can change an AVIF's bytes
    return {"quality": quality} | ({"max_threads": 1} if name == "avif" else {})


def _checked(tables: Tables | None) -> list[list[int]]:
    if tables is None:
        raise ValueError("jpeg:tables works only where the tables themselves are given beside the name")
    if not 1 <= len(tables) <= 2 or any(len(table) != 64 for table in tables):
        raise ValueError("jpeg:tables takes one table or two, of 64 numbers each")
    if any(not 1 <= step <= LARGEST_STEP for table in tables for step in table):
        raise ValueError(f"jpeg:tables: a table's numbers lie from 1 to {LARGEST_STEP}")
    return [list(table) for table in tables]
