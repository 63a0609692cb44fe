"""Folders of pairs: originals/ and renditions/, files of equal stems."""

from __future__ import annotations

from pathlib import Path

from params import UserError


def matching_files(folder: Path) -> list[tuple[Path, Path]]:
    """List the (original, rendition) files of equal stems, in their order; raise UserError when there are none.

    A folder without originals/ takes those that lie two folders up, which many chains may share.
    """
    there = folder / "originals"
    shared = folder.resolve().parents[1] / "originals"
    originals = _by_stem(shared if shared.is_dir() and not there.exists() else there)
    renditions = _by_stem(folder / "renditions")
    stems = sorted(originals.keys() & renditions.keys())
    if not stems:
        raise UserError(f"{folder}: no file of originals/ has the stem of one of renditions/. Name the two alike.")
    return [(originals[stem], renditions[stem]) for stem in stems]


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}. --pairs takes a folder with originals/ and renditions/ in it.")
    files: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.is_file() and not file.name.startswith("."):
            if file.stem in files:
                raise UserError(f"{file} and {files[file.stem].name} have one stem. Keep one of them.")
            files[file.stem] = file
    return files
