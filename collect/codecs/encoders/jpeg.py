"""JPEG, as libjpeg writes it; `ifast` is its coarser transform, which ImageMagick takes up to quality 90."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from collect.codecs import libjpeg, quantisation
from collect.codecs.encoders import SAMPLINGS, BlockTransform, Encoder, Rendition
from collect.codecs.quantisation import Tables
from collect.codecs.steps.backends import is_installed

HALVED = {"4:4:4": (1, 1), "4:2:2": (1, 2), "4:2:0": (2, 2)}  # pixels a chroma sample stands for, down and across
VERSION = "turbo210"  # of the libjpeg that has `ifast`; all the older ones compute the same


class Jpeg(Encoder):
    software = "libjpeg"
    forms = "jpeg:QUALITY[:444|422|420][:progressive][:optimised][:ifast], jpeg:tables[:444|…]"
    format, media_type = "JPEG", "image/jpeg"
    lowest_quality = 1
    takes_tables = True
    fixed = SAMPLINGS["420"]
    choices = SAMPLINGS | {
        "progressive": {"progressive": True},
        "optimised": {"optimize": True},
        "ifast": {"transform": "IFAST"},
    }

    def __init__(self, *arguments: str, tables: Tables | None = None) -> None:
        super().__init__(*arguments, tables=tables)
        self.halved = HALVED[self.options["subsampling"]]
        self.transform = BlockTransform(8, self.halved)

    def strength(self, arguments: tuple[str, ...]) -> dict[str, Any]:
        if arguments == ("tables",):
            return {"qtables": quantisation.checked_tables(self.tables)}
        return super().strength(arguments)

    def steps(self) -> Tables:
        given: Tables | None = self.options.get("qtables")
        return given or quantisation.standard_tables(self.options["quality"])

    def encode(self, image: Image.Image) -> bytes:
        return self.encode_by(VERSION, image) if "transform" in self.options else super().encode(image)

    def encode_by(self, version: str, image: Image.Image) -> bytes:
        """Encode by one of jpeglib's versions of libjpeg."""
        return libjpeg.encode(
            image,
            self.steps(),
            self.halved,
            version=version,
            transform=self.options.get("transform", "ISLOW"),
            progressive="progressive" in self.options,
            optimised="optimize" in self.options,
        )

    @classmethod
    def variant(cls, file: Path) -> str:
        quantisation.checked_tables(quantisation.read_codec(file)["tables"][:2])
        return "jpeg"

    @classmethod
    def guesses(cls, seen: Sequence[Rendition], tables: Sequence[Tables]) -> Iterator[str]:
        plain = f"jpeg:{cls.settings(seen, tables)}"
        yield plain
        if is_installed(libjpeg.PACKAGE):
            yield f"{plain}:ifast"

    @classmethod
    def settings(cls, seen: Sequence[Rendition], tables: Sequence[Tables]) -> str:
        """Return what files tell of their encoder: quality or `tables`, and the commonest sampling and kind of scan."""
        return f"{quantisation.tables_argument(tables)}:{sampling_and_scan(seen)}"


def sampling_and_scan(seen: Sequence[Rendition]) -> str:
    """Return the options that tell JPEGs' commonest sampling and, where most are, that they are progressive."""
    files = [quantisation.read_codec(each.file) for each in seen]
    samplings = Counter(file["sampling"].replace(":", "") for file in files)
    known = [sampling for sampling, _ in samplings.most_common() if sampling in SAMPLINGS]
    is_progressive = sum(file["progressive"] for file in files) > len(files) / 2
    return (known[0] if known else "420") + (":progressive" if is_progressive else "")
