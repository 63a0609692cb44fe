"""Build a platform's pairs database from its originals and its exported round trips."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from collect.export import read_manifest as read_round_trips
from collect.manifest import read_manifest as read_images
from pairing.align import measure
from pairing.database import Base, Pair, RoundTrip, Source
from pairing.registration import Alignment
from params import Pairing, UserError


def build(images: Path, round_trips: Path, database: Path, settings: Pairing) -> Counter[str | None]:
    """Measure every round trip and write the database, whole or not at all; return counts by reason, None: accepted."""
    originals = {each.name: each for each in read_images(images)}
    rows = read_round_trips(round_trips)
    if stray := [row["source"] for row in rows if row["source"] not in originals]:
        raise UserError(
            f"{round_trips} has {len(stray)} images that are not in {images}, {stray[0]} first."
            f" Run `comreadv collect --platform {round_trips.name}` again."
        )
    database.parent.mkdir(parents=True, exist_ok=True)
    part = database.with_suffix(".part")
    part.unlink(missing_ok=True)
    engine = create_engine(f"sqlite:///{part}")
    Base.metadata.create_all(engine)
    outcome: Counter[str | None] = Counter()
    names, thumbnails = list(originals), np.stack([_thumbnail(images / name) for name in originals])
    with Session(engine) as session:
        for row in track(rows, f"{round_trips.name}: pair", console=Console(stderr=True)):
            prepared = originals[row["source"]]
            source = Source(
                name=prepared.name,
                path=str(images / prepared.name),
                split=prepared.split,
                label=prepared.label,
                sha256=prepared.sha256,
            )
            pair = _pair(images / prepared.name, round_trips / row["file"], settings)
            if row["source_sha256"] != prepared.sha256:
                pair |= {"accepted": False, "reason": "the original has changed since it was uploaded"}
            if pair["accepted"] and (nearer := _nearer(prepared.name, round_trips / row["file"], names, thumbnails)):
                pair |= {"accepted": False, "reason": f"another picture: it is nearer to {nearer}"}
            session.add(Pair(round_trip=_round_trip(source, round_trips, row), **pair))
            outcome[pair["reason"].partition(":")[0] if pair["reason"] else None] += 1
        session.commit()
    engine.dispose()
    part.replace(database)
    return outcome


def _pair(original: Path, rendition: Path, settings: Pairing) -> dict[str, Any]:
    """Measure a pair; return the columns of its row."""
    try:
        measured = measure(original, rendition, settings)
    except OSError as error:
        return {"reason": f"unreadable: {error}", "accepted": False}
    row = {field.name: getattr(measured, field.name) for field in fields(measured)}
    alignment: Alignment | None = row.pop("alignment")
    if alignment:
        turn = alignment.turn.name.lower() if alignment.turn is not None else None
        row |= asdict(alignment) | {"turn": turn}
    return row | {"accepted": measured.reason is None}


def _nearer(name: str, rendition: Path, names: list[str], thumbnails: NDArray[np.int16]) -> str | None:
    """Name the original that a rendition is nearest to, if it is not its own: crops of one photo are much alike."""
    distances = np.abs(thumbnails - _thumbnail(rendition)).sum(axis=(1, 2, 3))
    nearest = int(distances.argmin())
    return names[nearest] if distances[nearest] < distances[names.index(name)] else None


def _thumbnail(file: Path) -> NDArray[np.int16]:
    """Shrink an image to 16×16, where what codecs do averages out."""
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB").resize((16, 16), Image.Resampling.BOX), dtype=np.int16)


def _round_trip(source: Source, folder: Path, row: dict[str, Any]) -> RoundTrip:
    kept = ("platform", "generation", "remote_id", "rendition", "format", "bytes", "sha256")
    return RoundTrip(source=source, path=str(folder / row["file"]), **{key: row[key] for key in kept})
