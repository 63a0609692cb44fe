"""Pair a folder of originals with a folder of files that someone downloaded by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from collect.dataset import share_out
from pairing.build import columns_of, new_database
from pairing.database import Pair, RoundTrip, Source
from pairing.matching import Match, match
from params import Pairing, Split, UserError


def pair_folders(originals: Path, renditions: Path, database: Path, settings: Pairing, split: Split) -> list[Match]:
    """Match the files of two folders by content, and write the pairs database; return what became of each file.

    Names, order and sizes of the renditions may be lost. The originals are shared out to train, validation and test
    in the order of their names. The database holds the files that have an original, as many as the split takes.
    """
    firsts = _files(originals, "--originals")
    found = match(firsts, _files(renditions, "--renditions"), settings)
    matched = [each for each in found if each.original]
    matched.sort(key=lambda each: each.original or each.rendition)
    splits = [name for name, count in share_out(split, len(matched)).items() for _ in range(count)]
    left = {each.rendition for each in matched[len(splits) :]}
    with new_database(database) as session:
        for each, name in zip(matched[: len(splits)], splits, strict=True):
            assert each.original and each.measured
            trip = RoundTrip(
                source=Source(
                    platform=database.stem,
                    name=f"{name}/{each.original.relative_to(originals)}",
                    path=str(each.original),
                    split=name,
                    label=None,
                    sha256=_digest(each.original),
                ),
                platform=database.stem,
                generation=1,
                remote_id=each.rendition.relative_to(renditions).as_posix(),
                rendition="by hand",
                path=str(each.rendition),
                format=_format(each.rendition),
                bytes=each.rendition.stat().st_size,
                sha256=_digest(each.rendition),
            )
            session.add(Pair(round_trip=trip, **columns_of(each.measured)))
    more = f"left over: dataset.split takes {len(splits)}"
    return [replace(each, reason=each.reason or more) if each.rendition in left else each for each in found]


def _files(folder: Path, option: str) -> Sequence[Path]:
    """List a folder's images, sorted; raise UserError when there are none."""
    known = Image.registered_extensions()
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in known and file.is_file())
    if not files:
        raise UserError(f"{option} {folder} holds no image. Name a folder of images.")
    return files


def _format(file: Path) -> str:
    with Image.open(file) as image:
        return (image.format or "").upper()


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
