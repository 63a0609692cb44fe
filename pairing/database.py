"""The pairs database: one SQLite file a platform, built once by `pairing` and read-only after.

A database that platforms share has the same tables (pairing/shared_database.py): a change here needs a step in
pairing/migrations.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from sqlalchemy import CheckConstraint, ForeignKey, MetaData, Select, UniqueConstraint, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from collect.database_engine import NAMING, TYPES
from pairing.alignment.registration import Alignment


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = TYPES


class Source(Base):
    """An image as it was uploaded."""

    __tablename__ = "sources"

    id: Mapped[int] = mapped_column(primary_key=True)
    platform: Mapped[str]  # that it went up to
    name: Mapped[str]  # split/stem.png, as the manifests have it
    path: Mapped[str]  # relative to the folder that the command ran in
    split: Mapped[str]
    label: Mapped[int | None]  # ILSVRC class index, where it is known
    sha256: Mapped[str]

    __table_args__ = (
        UniqueConstraint("platform", "name"),
        CheckConstraint("split IN ('train', 'validation', 'test')", name="split"),
    )


class RoundTrip(Base):
    """A file as the platform served it."""

    __tablename__ = "round_trips"

    id: Mapped[int] = mapped_column(primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id"))
    platform: Mapped[str]
    generation: Mapped[int]  # of the platform's fingerprint
    remote_id: Mapped[str]
    rendition: Mapped[str]
    path: Mapped[str]
    format: Mapped[str]
    bytes: Mapped[int]
    sha256: Mapped[str]

    source: Mapped[Source] = relationship()

    __table_args__ = (UniqueConstraint("source_id", "platform", "generation", "rendition"),)


class Pair(Base):
    """An original and its rendition, measured; accepted, or the reason why not."""

    __tablename__ = "pairs"

    id: Mapped[int] = mapped_column(primary_key=True)
    round_trip_id: Mapped[int] = mapped_column(ForeignKey("round_trips.id"), unique=True)
    width: Mapped[int | None]  # of the rendition as served, pixels
    height: Mapped[int | None]
    scale_x: Mapped[float | None]  # rendition / original
    scale_y: Mapped[float | None]
    left: Mapped[float | None]  # edges of the part that is shown, in the original's pixels
    top: Mapped[float | None]
    right: Mapped[float | None]
    bottom: Mapped[float | None]
    turn: Mapped[str | None]  # what sets the rendition upright, Pillow's name; None: it is
    kernel: Mapped[str | None]  # of the resize, Pillow's name; None: not resized
    correlation: Mapped[float | None]  # of luma, where there is no watermark
    watermark: Mapped[float | None]  # share of the rendition that it covers
    mask: Mapped[bytes | None]  # PNG, a bit a pixel of the original: 1 where it isn't shown; None: all of it is
    hash_distance: Mapped[int | None]  # bits of 64
    residual: Mapped[float | None]  # mean absolute difference of what is shown, grey levels
    psnr: Mapped[float | None]  # of the same, dB; None: no difference at all
    accepted: Mapped[bool]
    reason: Mapped[str | None]

    round_trip: Mapped[RoundTrip] = relationship()

    __table_args__ = (CheckConstraint("accepted = (reason IS NULL)", name="accepted_or_reason"),)


@dataclass(frozen=True)
class Accepted:
    """An accepted pair's files, and how they belong together."""

    original: Path
    rendition: Path
    alignment: Alignment | None  # None: not known, and taken for the whole
    mask: bytes | None  # PNG, a bit a pixel of the original: 1 where the rendition doesn't show it

    @property
    def is_whole(self) -> bool:
        """Whether the rendition shows its original upright and from edge to edge."""
        if self.alignment is None:
            return True
        with Image.open(self.original) as image:
            return self.alignment.is_whole(image.size)


@dataclass(frozen=True)
class Stored:
    """A platform's pairs, open to be read: all of a file, or the platform's part of a shared database."""

    session: Session
    platform: str | None = None  # None: the database holds no other's

    def select(self, *wanted: Any) -> Select[Any]:
        """Begin a query of what is wanted of the platform's sources, round trips and pairs."""
        joined = (
            select(*wanted)
            .select_from(Source)
            .join(RoundTrip, RoundTrip.source_id == Source.id)
            .join(Pair, Pair.round_trip_id == RoundTrip.id)
        )
        return joined if self.platform is None else joined.where(RoundTrip.platform == self.platform)

    def generation(self) -> int:
        """Return the generation of the platform's codec in which the pairs were collected."""
        return self.session.scalar(self.select(func.max(RoundTrip.generation))) or 1

    def aligned(self, split: str) -> list[Accepted]:
        """List the accepted pairs of a split with their alignments and masks, sorted by name."""
        chosen = self.select(Source.name, Source.path, RoundTrip.path, Pair).where(Pair.accepted, Source.split == split)
        rows = self.session.execute(chosen.order_by(Pair.id)).all()
        return [
            Accepted(Path(original), Path(rendition), alignment_of(pair), pair.mask)
            for _, original, rendition, pair in sorted(rows, key=lambda row: row.name)  # servers sort by language
        ]


@contextmanager
def open_pairs(path: Path) -> Iterator[Stored]:
    """Open a pairs file read-only; raise FileNotFoundError when there is none."""
    if not path.is_file():
        raise FileNotFoundError(path)
    engine = create_engine(f"sqlite:///file:{path.resolve()}?mode=ro&uri=true")
    try:
        with Session(engine) as session:
            yield Stored(session)
    finally:
        engine.dispose()


def generation(path: Path) -> int:
    """Return the generation of the platform's codec in which a file's pairs were collected."""
    with open_pairs(path) as stored:
        return stored.generation()


def aligned(path: Path, split: str) -> list[Accepted]:
    """List a file's accepted pairs of a split with their alignments and masks, sorted by name."""
    with open_pairs(path) as stored:
        return stored.aligned(split)


def alignment_of(pair: Pair) -> Alignment | None:
    """Read the alignment from a row; None where it was never measured."""
    if pair.left is None or pair.top is None or pair.right is None or pair.bottom is None:
        return None
    turn = Image.Transpose[pair.turn.upper()] if pair.turn else None
    return Alignment(pair.left, pair.top, pair.right, pair.bottom, turn, pair.kernel)
