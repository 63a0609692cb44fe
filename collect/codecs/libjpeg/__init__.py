"""libjpeg's other versions, and JPEG files written by their coefficients; by jpeglib."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from collect.codecs.profiles import in_jpeg
from collect.codecs.quantisation import Tables
from collect.codecs.steps.backends import backend

__all__ = ["PACKAGE", "Coefficients", "decode", "encode", "read_coefficients", "with_coefficients"]

PACKAGE = "jpeglib"
Coefficients = NDArray[np.int16]  # [rows of blocks, blocks in a row, 8, 8]: quantised, down and across

_LOCK = Lock()  # the version is one for the whole process


@contextmanager
def _version(version: str) -> Iterator[Any]:
    library = backend(PACKAGE)
    with _LOCK, library.version(version):
        yield library


def encode(
    image: Image.Image,
    tables: Tables,
    halved: tuple[int, int],
    *,
    version: str,
    transform: str = "ISLOW",
    progressive: bool = False,
    optimised: bool = False,
) -> bytes:
    """Encode an RGB image, with its colour profile, as a version of libjpeg does.

    Args:
        tables: luma and chroma.
        halved: pixels that a chroma sample stands for, down and across.
        version: as jpeglib names it, such as `9e` or `turbo210`.
        transform: libjpeg's forward DCT: ISLOW, IFAST or FLOAT.

    Raises:
        BackendMissing: jpeglib is not installed.
    """
    with _version(version) as library, tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "image.jpg")
        encoded = library.from_spatial(np.array(image))
        encoded.samp_factor = [list(halved), [1, 1], [1, 1]]
        encoded.progressive_mode = progressive
        encoded.write_spatial(
            str(file),
            qt=_array(tables),
            dct_method=getattr(library, f"JDCT_{transform}"),
            flags=["+OPTIMIZE_CODING"] if optimised else [],
        )
        return in_jpeg(file.read_bytes(), image.info.get("icc_profile"))


def decode(data: bytes, version: str) -> Image.Image:
    """Decode a JPEG to RGB as a version of libjpeg does; raises BackendMissing where jpeglib is not installed."""
    with _version(version) as library, tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "image.jpg")
        file.write_bytes(data)
        return Image.fromarray(library.read_spatial(str(file), out_color_space=library.JCS_RGB).spatial)


def with_coefficients(
    image: Image.Image,
    tables: Tables,
    sampling: str,
    change: Callable[[Sequence[Coefficients]], Sequence[Coefficients]],
    profile: bytes | None = None,
) -> bytes:
    """Encode an RGB image with steps of 1, and write the coefficients that `change` makes of those.

    Args:
        tables: those that are written: luma and chroma.
        sampling: as Pillow names it, such as `4:2:0`.
        change: takes and returns the coefficients of Y, Cb and Cr.
    """
    file = io.BytesIO()
    image.save(file, "JPEG", qtables=[[1] * 64] * 2, subsampling=sampling, icc_profile=profile)
    with _version("turbo210") as library, tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "image.jpg")
        path.write_bytes(file.getvalue())
        encoded = library.read_dct(str(path))
        encoded.Y, encoded.Cb, encoded.Cr = change((encoded.Y, encoded.Cb, encoded.Cr))
        encoded.qt = _array(tables)
        encoded.write_dct(str(path))
        return path.read_bytes()


def read_coefficients(file: Path) -> tuple[Coefficients, ...]:
    """Read a JPEG's quantised coefficients, of Y, Cb and Cr or of Y alone."""
    with _version("turbo210") as library:
        read = library.read_dct(str(file))
        return tuple(each for each in (read.Y, read.Cb, read.Cr) if each is not None)


def _array(tables: Tables) -> NDArray[np.uint16]:
    return np.array([*tables, tables[-1]][:2], np.uint16).reshape(2, 8, 8)
