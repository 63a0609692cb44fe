"""A person's photo in and its protected copy out: dimensions, orientation and colour profile as they were."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from collect import images
from collect.dataset import Photo
from pairing.alignment import Pixels
from params import UserError

SUFFIXES = {"png": ".png", "jpeg": ".jpg"}  # of what is written
PHOTO_SUFFIXES = frozenset(  # suffixes of photos in a folder
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".avif", ".jp2", ".j2k", ".tif", ".tiff", ".gif"}
    | {".bmp", ".ppm"}
)
BLOCK_SIZE = 8  # pixels, side, of a JPEG's


@dataclass(frozen=True)
class Source:
    """An upright photo: its pixels, and what else goes into the copy."""

    sha256: str
    pixels: Pixels  # [H, W, 3], in the profile's colour space
    profile: bytes | None  # ICC
    metadata: dict[str, Any]  # EXIF and XMP, as Pillow writes them


class Unwritable(Exception):
    """A protected copy that can't be made; its text is the reason, for a person."""


def find_photos(given: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """List photos and where their copies go below `out`, without suffix; folders are walked, `out` left out.

    Raises UserError for what is not there, and when there is no photo at all.
    """
    found: dict[Path, Path] = {}
    for path in given:
        if not path.exists():
            raise UserError(f"There is no photo or folder {path}. Give one that exists.")
        if not path.is_dir():
            found.setdefault(path.resolve(), Path(path.stem))
            continue
        for file in sorted(path.rglob("*")):
            inside = file.relative_to(path)
            hidden = any(part.startswith(".") for part in inside.parts)
            is_photo = file.suffix.lower() in PHOTO_SUFFIXES and file.is_file() and not hidden
            if is_photo and not file.resolve().is_relative_to(out.resolve()):
                found.setdefault(file.resolve(), inside.with_suffix(""))
    if not found:
        raise UserError(
            f"No photo in {', '.join(map(str, given))}. Files ending in {', '.join(sorted(PHOTO_SUFFIXES))} are taken."
        )
    return list(found.items())


def read_file(path: Path) -> bytes:
    """Read a photo's file whole; raise Unusable with the reason."""
    return Photo(path.name, path.stem, path).read()


def decode(data: bytes) -> Source:
    """Decode a photo's file; raise Unusable with the reason."""
    image = images.decode(data, keep=True)
    profile = image.info.pop("icc_profile", None)
    return Source(
        hashlib.sha256(data).hexdigest(),
        np.asarray(image),
        profile,
        {str(key): value for key, value in image.info.items()},
    )


def pixels_of(data: bytes) -> Pixels:
    """Read a copy's pixels as they stand in its file, [H, W, 3]."""
    with Image.open(BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def encode(source: Source, changed: Pixels, kind: str, eps: int, *, keep_metadata: bool) -> bytes:
    """Encode a copy as `png` or `jpeg`, within eps of the source when it is read again.

    A JPEG rounds once more: blocks that it takes beyond eps have their change cut by a grey level, until none is.
    Raises Unwritable when JPEG alone changes a pixel by more than eps.
    """
    extra = dict(source.metadata) if keep_metadata else {}
    if source.profile:
        extra["icc_profile"] = source.profile
    for limit in range(eps, -1, -1):
        data = _encode(changed, kind, extra)
        beyond = _change(pixels_of(data), source.pixels)
        if beyond.max() <= eps:
            return data
        if limit > 0:
            changed = _cut(changed, source.pixels, beyond > eps, limit - 1)
    raise Unwritable(
        f"saving as JPEG alone changes a pixel by {beyond.max()} grey levels, more than --eps {eps} allows."
        " Use --format png, or a larger --eps"
    )


def _encode(pixels: Pixels, kind: str, extra: dict[str, Any]) -> bytes:
    file, extra = BytesIO(), dict(extra)
    image = Image.fromarray(pixels)
    if kind == "jpeg":
        image.save(file, "JPEG", quality=100, subsampling="4:4:4", **extra)
        return file.getvalue()
    if xmp := extra.pop("xmp", None):
        from PIL.PngImagePlugin import PngInfo

        extra["pnginfo"] = PngInfo()
        extra["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
    image.save(file, "PNG", compress_level=4, **extra)
    return file.getvalue()


def _change(first: Pixels, second: Pixels) -> Pixels:
    """Return the absolute change of each colour."""
    return np.maximum(first, second) - np.minimum(first, second)


def _cut(changed: Pixels, original: Pixels, beyond: NDArray[np.bool_], limit: int) -> Pixels:
    """Bring the change within a limit, in all blocks in which a pixel is beyond."""
    height, width = beyond.shape[:2]
    padded = np.pad(beyond.any(axis=2), ((0, -height % BLOCK_SIZE), (0, -width % BLOCK_SIZE)))
    blocks = padded.reshape(padded.shape[0] // BLOCK_SIZE, BLOCK_SIZE, -1, BLOCK_SIZE).any(axis=(1, 3))
    where = blocks.repeat(BLOCK_SIZE, axis=0).repeat(BLOCK_SIZE, axis=1)[:height, :width]
    cut = changed.copy()
    cut[where] = changed[where].clip(
        original[where] - np.minimum(original[where], limit), original[where] + np.minimum(255 - original[where], limit)
    )
    return cut
