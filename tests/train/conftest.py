"""Real pairs: images, what Pillow's encoders make of them, and the database that names both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from crops import photo_crop
from PIL import Image, ImageFilter
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from pairing.database import Base, Pair, RoundTrip, Source


@pytest.fixture
def make_pairs(tmp_path: Path) -> Callable[..., Path]:
    """Fill a pairs database with so many pairs of each split; none for a split that isn't named.

    `median` filters renditions first, which no chain of ours does.
    """

    def make(
        *,
        side: int = 64,
        quality: int = 25,
        suffix: str = "jpg",
        accepted: bool = True,
        median: bool = False,
        **splits: int,
    ) -> Path:
        folder = tmp_path / "pairs"
        folder.mkdir()
        engine = create_engine(f"sqlite:///{folder / 'tiny.db'}")
        Base.metadata.create_all(engine)
        with Session(engine) as session:
            for index, split in enumerate(split for split, count in splits.items() for _ in range(count)):
                original, rendition = folder / f"{index}.png", folder / f"{index}.{suffix}"
                image = photo_crop(index, side)
                image.save(original)
                served = image.filter(ImageFilter.MedianFilter(3)) if median else image
                served.save(rendition, quality=quality)
                name = f"{split}/{index:03}.png"
                source = Source(platform="tiny", name=name, path=str(original), split=split, sha256="0")
                trip = RoundTrip(
                    source=source,
                    platform="tiny",
                    generation=1,
                    remote_id=str(index),
                    rendition="full",
                    path=str(rendition),
                    format=Image.registered_extensions()[f".{suffix}"],
                    bytes=rendition.stat().st_size,
                    sha256="0",
                )
                session.add(Pair(round_trip=trip, accepted=accepted, reason=None if accepted else "wrong file"))
            session.commit()
        engine.dispose()
        return folder / "tiny.db"

    return make
