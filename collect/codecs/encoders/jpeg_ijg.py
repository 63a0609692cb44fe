"""JPEG, as the Independent JPEG Group's own libjpeg 7 to 9 writes it: chroma is shrunk by the cosine transform.

Telegram's files are its. libjpeg-turbo and Pillow keep to libjpeg 6b's chroma.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from PIL import Image

from collect.codecs import libjpeg
from collect.codecs.encoders import Rendition
from collect.codecs.encoders.jpeg import Jpeg
from collect.codecs.quantisation import Tables
from collect.codecs.steps.backends import is_installed

VERSION = "9e"


class JpegIjg(Jpeg):
    software = "libjpeg 9 of the IJG"
    forms = "jpeg_ijg:QUALITY|tables[:444|422|420][:progressive][:optimised][:ifast]"

    def encode(self, image: Image.Image) -> bytes:
        return self.encode_by(VERSION, image)

    @classmethod
    def guesses(cls, seen: Sequence[Rendition], tables: Sequence[Tables]) -> Iterator[str]:
        if is_installed(libjpeg.PACKAGE):
            yield f"jpeg_ijg:{cls.settings(seen, tables)}"
