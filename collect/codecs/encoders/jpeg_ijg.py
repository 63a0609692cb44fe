"""JPEG, as the Independent JPEG Group's own libjpeg 7 to 9 writes it: chroma is shrunk by the cosine transform.

Telegram's files are its. libjpeg-turbo and Pillow keep to libjpeg 6b's chroma.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from PIL import Image

from collect.codecs import libjpeg
from collect.codecs.backends import is_installed
from collect.codecs.encoders import Rendition
from collect.codecs.encoders.jpeg import Jpeg
from collect.codecs.quantisation import Tables, standard_tables

VERSION = "9e"
HALVED = {"4:4:4": (1, 1), "4:2:2": (1, 2), "4:2:0": (2, 2)}


class JpegIjg(Jpeg):
    forms = "jpeg_ijg:QUALITY|tables[:444|422|420]"

    def encode(self, image: Image.Image) -> bytes:
        tables: Tables = self.options.get("qtables") or standard_tables(self.options["quality"])
        return libjpeg.encode(image, tables, HALVED[self.options["subsampling"]], version=VERSION)

    @classmethod
    def guesses(cls, seen: Sequence[Rendition], tables: Sequence[Tables]) -> Iterator[str]:
        if is_installed(libjpeg.PACKAGE):
            yield from (guess.replace("jpeg:", "jpeg_ijg:", 1) for guess in super().guesses(seen, tables))
