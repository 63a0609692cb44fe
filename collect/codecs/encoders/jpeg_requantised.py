"""JPEG of which the coefficients are rounded twice, as the files that Facebook served from 2013 to 2022 were.

Found on pairs of those years: each coefficient is first a whole number (halves go up), then multiplied with its step's
reciprocal in 1/32768 and rounded again (halves go to the even number). libjpeg rounds once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from collect.codecs import libjpeg
from collect.codecs.encoders import SAMPLINGS, Rendition
from collect.codecs.encoders.jpeg import Jpeg
from collect.codecs.libjpeg import Coefficients
from collect.codecs.quantisation import Tables
from collect.codecs.steps.backends import is_installed

RECIPROCALS = 1 << 15
FIXED_POINT = 1 << 16
TO_YCC = np.round(  # jccolor.c's
    FIXED_POINT
    * np.array([[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]])
)
OFFSET = np.array([FIXED_POINT / 2, FIXED_POINT / 2 - 1, FIXED_POINT / 2 - 1])
HALF = np.array(  # the left half of the DCT, of jfdctint.c's constants, in 1/8192
    [
        [8192, 8192, 8192, 8192],
        [11363, 9633, 6437, 2260],
        [10703, 4433, -4433, -10703],
        [9633, -2259, -11362, -6436],
        [8192, -8192, -8192, 8192],
        [6437, -11362, 2261, 9633],
        [4433, -10704, 10704, -4433],
        [2260, -6436, 9633, -11363],
    ]
)
DCT = np.hstack([HALF, HALF[:, ::-1] * np.array([1, -1] * 4)[:, None]]) / 8192  # √8 times the orthonormal one


class JpegRequantised(Jpeg):
    software = "JPEG rounded twice, as Facebook did"
    forms = "jpeg_requantised:QUALITY|tables[:444|422|420]"
    choices = SAMPLINGS | {"progressive": {}}  # as guesses have it; it changes no pixel

    def encode(self, image: Image.Image) -> bytes:
        tables, sampling = self.steps(), self.options["subsampling"]
        return libjpeg.with_coefficients(
            image, tables, sampling, partial(_requantised, image, tables, sampling), image.info.get("icc_profile")
        )

    @classmethod
    def guesses(cls, seen: Sequence[Rendition], tables: Sequence[Tables]) -> Iterator[str]:
        if is_installed(libjpeg.PACKAGE):
            yield f"jpeg_requantised:{cls.settings(seen, tables)}"


def _requantised(
    image: Image.Image, tables: Tables, sampling: str, single: Sequence[Coefficients]
) -> list[Coefficients]:
    """Return the coefficients of Y, Cb and Cr, as many as a JPEG of the image has."""
    levels = np.asarray(image, np.float64)
    ycc = np.floor((levels @ TO_YCC.T + OFFSET) / FIXED_POINT)
    ycc[..., 0] -= 128
    across, down = (1 if sampling == "4:4:4" else 2), (2 if sampling == "4:2:0" else 1)
    planes = [ycc[..., 0], *(_shrunk(ycc[..., kind], down, across) for kind in (1, 2))]
    return [
        _quantised(plane, np.reshape(tables[min(kind, len(tables) - 1)], (8, 8)), like.shape[:2])
        for kind, (plane, like) in enumerate(zip(planes, single, strict=True))
    ]


def _quantised(plane: NDArray[np.float64], steps: NDArray[Any], blocks: tuple[int, int]) -> Coefficients:
    height, width = (8 * count for count in blocks)
    plane = np.pad(plane, ((0, height - plane.shape[0]), (0, width - plane.shape[1])), mode="edge")
    transformed = DCT @ plane.reshape(blocks[0], 8, blocks[1], 8).swapaxes(1, 2) @ DCT.T / 8
    whole = np.floor(transformed + 0.5)
    return np.rint(whole * (np.round(RECIPROCALS / steps) / RECIPROCALS)).astype(np.int16)


def _shrunk(plane: NDArray[np.float64], down: int, across: int) -> NDArray[np.float64]:
    """Average chroma as jcsample.c does, which leans to one side and the other in turn."""
    if across == 1:
        return plane
    height, width = plane.shape
    plane = np.pad(plane, ((0, -height % down), (0, -width % across)), mode="edge")
    sums = np.sum([plane[row::down, column::across] for row in range(down) for column in range(across)], axis=0)
    lean = np.resize([0, 1] if down == 1 else [1, 2], sums.shape[1])
    return np.asarray(np.floor((sums + lean) / (down * across)))
