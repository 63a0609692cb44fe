"""JPEG, as libjpeg writes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from collect.codecs import quantisation
from collect.codecs.encoders import SAMPLINGS, Encoder, Rendition
from collect.codecs.quantisation import Tables


class Jpeg(Encoder):
    forms = "jpeg:QUALITY[:444|422|420][:progressive][:optimised], jpeg:tables[:444|…]"
    format, media_type = "JPEG", "image/jpeg"
    lowest_quality = 1
    takes_tables = True
    fixed = SAMPLINGS["420"]
    choices = SAMPLINGS | {"progressive": {"progressive": True}, "optimised": {"optimize": True}}

    def strength(self, arguments: tuple[str, ...]) -> dict[str, Any]:
        if arguments == ("tables",):
            return {"qtables": quantisation.checked_tables(self.tables)}
        return super().strength(arguments)

    @classmethod
    def variant(cls, file: Path) -> str:
        quantisation.checked_tables(quantisation.read_codec(file)["tables"][:2])
        return "jpeg"

    @classmethod
    def guesses(cls, seen: Sequence[Rendition], tables: Sequence[Tables]) -> Iterator[str]:
        files = [quantisation.read_codec(each.file) for each in seen]
        samplings = Counter(file["sampling"].replace(":", "") for file in files if file["sampling"] != "other")
        sampling = samplings.most_common(1)[0][0] if samplings else "420"
        scan = ":progressive" if sum(file["progressive"] for file in files) > len(files) / 2 else ""
        yield f"jpeg:{quantisation.tables_argument(tables)}:{sampling}{scan}"
