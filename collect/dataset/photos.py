"""A photo: where it lies, its name, its decoding (any kind of image in, upright 8-bit sRGB out), its shape."""

from __future__ import annotations

import hashlib
import random
import re
import stat
import unicodedata
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image, ImageOps

from collect.images import Box, Unusable

# Pillow widens its bicubic kernel when it shrinks an image, so that nothing aliases.
KERNEL = Image.Resampling.BICUBIC
MAX_FILE_BYTES = 512 * 2**20


@dataclass(frozen=True)
class Photo:
    """Where one photo's bytes are: a file, or `size` bytes of it from `offset` on (a member of a tar)."""

    source: str  # relative to the dataset's root, or package:file
    stem: str  # of the prepared image's name, before it is made unique
    path: Path
    label: int | None = None  # ILSVRC class index
    offset: int = 0
    size: int | None = None

    def read(self) -> bytes:
        """Read the photo's bytes; raise Unusable when they can't be read or are too many."""
        try:
            if not stat.S_ISREG(self.path.stat().st_mode):
                raise Unusable("not a regular file")
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read(MAX_FILE_BYTES + 1 if self.size is None else self.size)
        except OSError as error:
            raise Unusable(f"can't be read: {error.strerror}") from None
        if len(data) > MAX_FILE_BYTES:
            raise Unusable(f"larger than {MAX_FILE_BYTES // 2**20} MB")
        return data


def shape(photo: Image.Image, size: int, fit: str, box: Box | None = None) -> Image.Image:
    """Resize a photo, or the box of it, to size × size; `fit` is `squash` or `crop` (the centred square)."""
    if fit == "crop" and box is None:
        return ImageOps.fit(photo, (size, size), KERNEL)
    left, top, width, height = box or (0, 0, *photo.size)
    return photo.resize((size, size), KERNEL, box=(left, top, left + width, top + height))


def crop_boxes(width: int, height: int, smallest: int, count: int, seed: str) -> list[Box]:
    """Draw up to `count` different square boxes of varied side, so that detail comes at varied scales.

    Sides lie between a third of the photo's short side and all of it, and never below `smallest` where
    the photo is larger than that.
    """
    rng = random.Random(seed)
    short = min(width, height)
    boxes: dict[Box, None] = {}
    for _ in range(count):
        side = rng.randint(min(short, max(smallest, short // 3)), short)
        boxes[rng.randint(0, width - side), rng.randint(0, height - side), side, side] = None
    boxes.pop((0, 0, width, height), None)  # the whole photo, which is there without this
    return list(boxes)


def in_seeded_order(photos: list[Photo], seed: int) -> list[Photo]:
    """Make the stems unique and safe in any file system, and order the photos by a seeded hash of them."""
    stems = [_safe(photo.stem) for photo in photos]
    seen = Counter(stem.casefold() for stem in stems)
    named = [
        replace(photo, stem=stem if seen[stem.casefold()] == 1 else f"{stem}-{_sha256(photo.source)[:8]}")
        for photo, stem in zip(photos, stems, strict=True)
    ]
    return sorted(named, key=lambda photo: _sha256(f"{seed} {photo.stem}"))


def _safe(stem: str) -> str:
    ascii_only = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_-]+", "-", ascii_only).strip("-")[:80] or "photo"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
