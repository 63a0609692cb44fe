"""JPEG, as Go's image/jpeg (1.19) writes it: libjpeg's transform and tables, but colours rounded in its own way."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
from PIL import Image

from collect.codecs.encoders import Rendition
from collect.codecs.encoders.jpeg import Jpeg
from collect.codecs.profiles import in_jpeg
from collect.codecs.quantisation import Tables

FIXED_POINT = 16  # bits
TO_YCC = np.array([[19595, 38470, 7471], [-11056, -21712, 32768], [32768, -27440, -5328]])  # image/color/ycbcr.go's
OFFSETS = np.array([1 << 15, 257 << 15, 257 << 15])
BLOCK = 16  # pixels that are coded together: a side


class Go(Jpeg):
    software = "Go's JPEG"
    forms = "go:QUALITY, go:tables"
    place = 1
    choices: ClassVar = {"420": {}}

    def encode(self, image: Image.Image) -> bytes:
        """Hand libjpeg whole blocks of Go's colours, chroma as even as it is shrunk; then name the image's own size."""
        beyond = [(0, -side % BLOCK) for side in reversed(image.size)]
        levels = np.pad(np.asarray(image, np.int32), (*beyond, (0, 0)), mode="edge")
        ycc = (levels @ TO_YCC.T + OFFSETS >> FIXED_POINT).clip(0, 255)
        chroma = ycc[..., 1:].reshape(len(ycc) // 2, 2, -1, 2, 2)
        chroma[:] = chroma.sum((1, 3), keepdims=True) + 2 >> 2
        whole = Image.frombytes("YCbCr", ycc.shape[1::-1], ycc.astype(np.uint8).tobytes())
        file = io.BytesIO()
        whole.save(file, "JPEG", qtables=self.steps(), subsampling="4:2:0")
        data = file.getvalue().replace(_frame(whole.size), _frame(image.size), 1)
        return in_jpeg(data, image.info.get("icc_profile"))

    @classmethod
    def guesses(cls, seen: Sequence[Rendition], tables: Sequence[Tables]) -> Iterator[str]:
        argument, *options = cls.settings(seen, tables).split(":")
        if options == ["420"]:  # Go writes no other
            yield f"go:{argument}"


def _frame(size: tuple[int, int]) -> bytes:
    """Return how the header of a frame begins, behind its marker."""
    width, height = size
    return struct.pack(">HBHH", 17, 8, height, width)
