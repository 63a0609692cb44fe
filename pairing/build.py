"""Build a platform's pairs database from its originals and its exported round trips."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.progress import track
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from collect.dataset import read_manifest as read_images
from collect.files import write_atomically
from collect.images import Unusable, decoding
from collect.round_trip import Served, read_round_trips
from collect.terminal import terminal
from pairing.alignment.align import Measurement, measure_pair
from pairing.alignment.registration import Alignment
from pairing.database import Base, Pair, RoundTrip, Source
from pairing.near_duplicates import LookAlikes
from params import Pairing, UserError


def build(images: Path, round_trips: Path, database: Path, settings: Pairing) -> Counter[str | None]:
    """Measure every round trip and write the database, whole or not at all; return counts by reason, None: accepted."""
    originals = {each.name: each for each in read_images(images)}
    rows = read_round_trips(round_trips)
    if stray := [row.source for row in rows if row.source not in originals]:
        raise UserError(
            f"{round_trips} has {len(stray)} images that are not in {images}, {stray[0]} first."
            f" Run `comreadv collect --platform {round_trips.name}` again."
        )
    outcome: Counter[str | None] = Counter()
    look_alikes = LookAlikes({name: images / name for name in originals}, settings)
    files = _by_content(round_trips, rows)
    with new_database(database) as session:
        for row in track(rows, f"{round_trips.name}: pair", console=terminal()):
            prepared = originals[row.source]
            source = Source(
                platform=row.platform,
                name=prepared.name,
                path=str(images / prepared.name),
                split=prepared.split,
                label=prepared.label,
                sha256=prepared.sha256,
            )
            file = round_trips / row.file
            pair = _measure(images / prepared.name, file, settings)
            if row.source_sha256 != prepared.sha256:
                pair = replace(pair, reason="the original has changed since it was uploaded")
            if pair.reason is None and (nearer := look_alikes.nearer(prepared.name, file, pair)):
                pair = replace(pair, reason=f"another picture: it is nearer to {nearer}")
            if pair.reason and pair.reason.startswith("another picture") and (same := files[file] - {prepared.name}):
                pair = replace(pair, reason=f"a duplicate: {min(same)} has the same file")
            session.add(Pair(round_trip=_round_trip(source, round_trips, row), **columns_of(pair)))
            outcome[reason_kind(pair.reason)] += 1
    return outcome


@contextmanager
def new_database(database: Path) -> Iterator[Session]:
    """Open a new pairs database to write, which takes the place of the old one when all is in it."""
    with TemporaryDirectory() as folder:
        new = Path(folder) / database.name
        engine = create_engine(f"sqlite:///{new}")
        Base.metadata.create_all(engine)
        with Session(engine) as session:
            yield session
            session.commit()
        engine.dispose()
        write_atomically(database, new.read_bytes())


def reason_kind(reason: str | None) -> str | None:
    """Return what kind of reason it is, without the figures."""
    return reason.partition(":")[0] if reason else None


def columns_of(measured: Measurement) -> dict[str, Any]:
    """Return a measurement as the columns of a pair's row."""
    row = {field.name: getattr(measured, field.name) for field in fields(measured)}
    alignment: Alignment | None = row.pop("alignment")
    if alignment is not None:
        turn = alignment.turn.name.lower() if alignment.turn is not None else None
        row |= asdict(alignment) | {"turn": turn}
    return row | {"accepted": measured.reason is None}


def _measure(original: Path, rendition: Path, settings: Pairing) -> Measurement:
    try:
        with decoding():
            return measure_pair(original, rendition, settings)
    except Unusable as error:
        return Measurement(None, None, f"unreadable: {error}")


def _by_content(folder: Path, rows: Sequence[Served]) -> dict[Path, set[str]]:
    """Tell for each file which originals were served just its bytes."""
    digests = {row.source: hashlib.sha256((folder / row.file).read_bytes()).digest() for row in rows}
    sources: defaultdict[bytes, set[str]] = defaultdict(set)
    for source, digest in digests.items():
        sources[digest].add(source)
    return {folder / row.file: sources[digests[row.source]] for row in rows}


def _round_trip(source: Source, folder: Path, row: Served) -> RoundTrip:
    kept = {"platform", "generation", "remote_id", "rendition", "format", "bytes", "sha256"}
    return RoundTrip(source=source, path=str(folder / row.file), **row.model_dump(include=kept))
