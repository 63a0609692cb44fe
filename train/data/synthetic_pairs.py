"""Pairs made on the spot: photos of any folder, squashed, and what a real codec makes of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from PIL import Image
from rich.progress import track

from collect import codecs
from collect.dataset import folder_photos, in_seeded_order, shape
from collect.images import Unusable, decode
from collect.terminal import terminal
from params import UserError

SEED = 2012  # of the photos' order, and so of which are taken


def prepare(folder: Path, out: Path, size: int, limit: int | None) -> list[Path]:
    """Squash a folder's photos, at most `limit`, to size × size PNG files; raise UserError when none can be used.

    The files are named by their content, so that equal pictures are one file.
    """
    out.mkdir(parents=True, exist_ok=True)
    made: dict[Path, None] = {}
    photos = in_seeded_order(folder_photos(folder), SEED)
    for photo in track(photos, f"Preparing {folder}", console=terminal(), transient=True):
        if limit is not None and len(made) == limit:
            break
        try:
            image = shape(decode(photo.read()), size, "squash")
        except Unusable:
            continue
        file = out / f"{hashlib.sha256(image.tobytes()).hexdigest()[:32]}.png"
        if not file.exists():
            image.save(file, compress_level=1)
        made[file] = None
    if not made:
        raise UserError(f"{folder} holds no photo that can be used. Name a folder of images.")
    return list(made)


def names(photos: list[Path], folder: Path) -> list[str]:
    """Name photos as they stand below a folder."""
    return [str(file.relative_to(folder)) for file in photos]


def digest(photos: list[Path]) -> str:
    """Name prepared photos by their content, in whatever order."""
    return hashlib.sha256(" ".join(sorted(file.name for file in photos)).encode()).hexdigest()[:32]


def refuse_shared(train: list[Path], test: list[Path], folders: tuple[Path, Path]) -> None:
    """Raise UserError when a test photo is among the training photos, by content."""
    shared = {file.name for file in train} & {file.name for file in test}
    if shared:
        raise UserError(
            f"{len(shared)} of the {len(test)} test photos in {folders[1]} are in {folders[0]} too (the same pixels). "
            "Take them out of one of the folders: a model must be measured on photos that it was not trained on."
        )


def encode_all(originals: list[Path], codec: str, out: Path) -> list[tuple[Path, Path]]:
    """Write what a codec makes of each image; return (original, rendition) files."""
    out.mkdir(parents=True, exist_ok=True)
    pairs = []
    for original in track(originals, f"Encoding {codec}", console=terminal(), transient=True):
        rendition = out / f"{original.stem}.{codecs.media_type(codec).removeprefix('image/')}"
        with Image.open(original) as image:
            rendition.write_bytes(codecs.encode(image, codec))
        pairs.append((original, rendition))
    return pairs


def decoded(codec: str) -> Callable[[Image.Image], Image.Image]:
    """Return what encodes by a codec and decodes."""
    return partial(codecs.decoded, codec=codec)
