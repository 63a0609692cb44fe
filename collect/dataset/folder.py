"""The photos of any folder."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from collect.dataset.photos import Photo
from params import UserError


@cache
def class_indices() -> dict[str, int]:
    """Map each of the 1000 wnids to its class index: its place in sorted order, as torchvision has it."""
    text = Path(__file__).with_name("ilsvrc_wnids.txt").read_text(encoding="ascii")
    return {wnid: index for index, wnid in enumerate(text.split())}


def folder_photos(root: Path, within: str = ".") -> list[Photo]:
    """List the files below `root / within` but hidden ones; a folder named by a wnid labels what is in it."""
    if not root.is_dir():
        raise UserError(f"{root} is not a folder. Give the folder of the photos with --root or dataset.root.")
    photos = []
    for folder, _, names in os.walk(root / within):
        for path in (Path(folder, name) for name in names):
            parts = path.relative_to(root).parts
            if not any(part.startswith(".") for part in parts):
                labels = [class_indices()[part] for part in parts[:-1] if part in class_indices()]
                label = labels[-1] if labels else None
                photos.append(Photo(_printable("/".join(parts)), path.stem, path, label))
    return photos


def _printable(name: str) -> str:
    """Spell out the bytes of a file name that are not UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
