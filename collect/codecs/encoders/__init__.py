"""Encoders by a short name, one file each: how `webp:50:m4` is read and written, and guessed from files seen."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, ClassVar, NamedTuple

from PIL import Image

from collect.codecs.quantisation import Tables
from collect.codecs.steps.arguments import number

__all__ = ["BlockTransform", "Encoder", "Rendition", "all_encoders", "encoder"]

SAMPLINGS: dict[str, dict[str, Any]] = {
    "444": {"subsampling": "4:4:4"},
    "422": {"subsampling": "4:2:2"},
    "420": {"subsampling": "4:2:0"},
}


class BlockTransform(NamedTuple):
    """An encoder's transform, where all its blocks have one side; chroma is shrunk by `halved` (down, across)."""

    side: int
    halved: tuple[int, int]


@dataclass(frozen=True)
class Rendition:
    """A file that some encoder wrote."""

    file: Path
    payload: int  # bytes, but for the colour profile
    image: Image.Image  # decoded
    before: Callable[[], Image.Image]  # returns the image that was encoded, as far as it is known


class Encoder:
    """An encoder and its settings; one subclass in one file each, known in chains by the file's name.

    Raises ValueError, which names the argument after the encoder's name that is wrong.
    """

    forms: ClassVar[str]  # as chains write it, for messages
    software: ClassVar[str] = ""  # in words; "": as the encoder's name says
    format: ClassVar[str]  # of its files, Pillow's name
    media_type: ClassVar[str]
    lowest_quality: ClassVar[int | None] = 0  # None: it takes none
    fixed: ClassVar[dict[str, Any]] = {}  # what the library is always told
    choices: ClassVar[dict[str, dict[str, Any]]] = {}  # what it is told by arguments after the first
    place: ClassVar[int] = 0  # of its guesses among those of all encoders: those of lower places are tried first
    takes_tables: ClassVar[bool] = False  # an argument `tables` stands for those of files
    transform: BlockTransform | None = None
    is_lossless = False

    def __init__(self, *arguments: str, tables: Tables | None = None) -> None:
        self.name, self.tables = type(self).__module__.rpartition(".")[2], tables
        strength = self.strength(arguments[:1])
        chosen: dict[str, Any] = {}
        for argument in arguments[1:] if strength else arguments:
            known = self.choices.get(argument)
            if known is None:
                there_are = ", ".join(self.choices) or "none"
                raise ValueError(f"{self.name} has no option {argument!r}; there are {there_are}")
            if known.keys() & chosen.keys() or self.is_lossless:
                raise ValueError(f"{self.name}: {argument!r} is one option too many")
            chosen |= known
        self.options = {**self.fixed, **strength, **chosen}

    def strength(self, arguments: tuple[str, ...]) -> dict[str, Any]:
        """Read from the first argument, if there is one, how strongly to compress; {} where none is taken."""
        if self.lowest_quality is None:
            return {}
        return {"quality": int(number(self.name, "quality", arguments, self.lowest_quality, 100, whole=True))}

    def steps(self) -> Tables | None:
        """Return the quantisation tables that all images get, in rows; None where they vary or aren't known."""
        return None

    def encode(self, image: Image.Image) -> bytes:
        """Encode an RGB image, with its colour profile."""
        file = io.BytesIO()
        # Pillow writes a JPEG's profile only when told
        image.save(file, self.format, icc_profile=image.info.get("icc_profile"), **self.options)
        return file.getvalue()

    @classmethod
    def variant(cls, file: Path) -> str:
        """Tell which variant of the format a file is, for guesses; raise ValueError for one that is never made here."""
        raise ValueError("nothing is guessed of this encoder")

    @classmethod
    def guesses(cls, seen: Sequence[Rendition], tables: Sequence[Tables]) -> Iterable[str]:
        """List encoders that may have made files, the likeliest first; none unless a format has guesses of its own.

        Args:
            seen: of one variant, the most telling first.
            tables: the JPEGs' different ones.
        """
        return ()


@cache
def all_encoders() -> dict[str, type[Encoder]]:
    """List the encoder of every file in this folder, by the file's name."""
    files = {file.name: import_module(f"{__name__}.{file.name}") for file in iter_modules(__path__)}
    return {
        name: value
        for name, file in files.items()
        for value in vars(file).values()
        if isinstance(value, type) and issubclass(value, Encoder) and value.__module__ == file.__name__
    }


def encoder(name: str, *arguments: str, tables: Tables | None = None) -> Encoder:
    """Make an encoder; raises ValueError, which names the part that is wrong."""
    if name not in all_encoders():
        raise ValueError(f"{name!r} is no encoder")
    return all_encoders()[name](*arguments, tables=tables)
