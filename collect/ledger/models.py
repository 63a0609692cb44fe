"""The ledger's tables. A change here needs a step in collect/ledger/migrations."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import CheckConstraint, ForeignKey, MetaData, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from collect.database_engine import NAMING, TYPES

STATES = ("planned", "sent", "unknown", "confirmed", "downloaded", "verified", "rejected")
PUBLISHED_STATES = ("confirmed", "downloaded", "verified")  # of what is on the platform
WITHOUT_REMOTE_ID = ("planned", "sent", "unknown", "rejected")
NO_LONGER_SHOWN = "it was published and is not shown any more"  # a reason why an upload is rejected


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = TYPES


class Upload(Base):
    """One image on its way up. Named by its content, so that the same bytes never go up twice.

    planned → sent (written before the attempt) → confirmed → downloaded → verified (it is that image), or rejected
    with the site's reason; a `sent` whose answer was lost is `unknown` until the album has been read back.
    """

    __tablename__ = "uploads"

    id: Mapped[int] = mapped_column(primary_key=True)
    platform: Mapped[str]
    site: Mapped[str]  # sandbox or live
    account: Mapped[str]  # its public number
    generation: Mapped[int]  # of the platform's fingerprint
    sha256: Mapped[str]  # of the image as uploaded
    state: Mapped[str] = mapped_column(default="planned")
    batch: Mapped[str | None]  # the title under which it went up
    position: Mapped[int | None]  # in the batch
    remote_id: Mapped[str | None]
    reason: Mapped[str | None]  # why it is rejected, came back and is not verified, or is not to be packed again
    planned_at: Mapped[str] = mapped_column(default=now)
    sent_at: Mapped[str | None]
    confirmed_at: Mapped[str | None]
    deleted_at: Mapped[str | None]  # from the site, by --cleanup
    collector: Mapped[str | None]  # who has the lease on it

    __table_args__ = (
        UniqueConstraint("platform", "site", "account", "generation", "sha256"),
        CheckConstraint(f"state IN {STATES}", name="state"),
        CheckConstraint(f"state IN {WITHOUT_REMOTE_ID} OR remote_id IS NOT NULL", name="confirmed_has_remote_id"),
    )


class Download(Base):
    """What the platform served of an upload, in one rendition."""

    __tablename__ = "downloads"

    id: Mapped[int] = mapped_column(primary_key=True)
    upload_id: Mapped[int] = mapped_column(ForeignKey("uploads.id"))
    rendition: Mapped[str]
    address: Mapped[str]  # without its query, which may hold a signature
    sha256: Mapped[str]  # of the file as served; its name in the store
    bytes: Mapped[int]
    downloaded_at: Mapped[str] = mapped_column(default=now)
    verified: Mapped[bool]  # it shows the image that was uploaded

    upload: Mapped[Upload] = relationship(lazy="joined")

    __table_args__ = (UniqueConstraint("upload_id", "rendition"),)


class Tile(Base):
    """An image that goes up as a part of another one, its mosaic."""

    __tablename__ = "tiles"

    id: Mapped[int] = mapped_column(primary_key=True)
    platform: Mapped[str]
    site: Mapped[str]
    account: Mapped[str]
    generation: Mapped[int]
    sha256: Mapped[str]  # of the image
    mosaic: Mapped[str]  # sha256 of the mosaic as uploaded
    x: Mapped[int]  # pixels
    y: Mapped[int]
    width: Mapped[int]
    height: Mapped[int]

    __table_args__ = (UniqueConstraint("platform", "site", "account", "generation", "sha256"),)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Tell where it lies in the mosaic: left, top, width, height."""
        return self.x, self.y, self.width, self.height


class Collector(Base):
    """A running collector; a dead one's leases are free for the others."""

    __tablename__ = "collectors"

    id: Mapped[str] = mapped_column(primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    started: Mapped[float]  # seconds from the machine's start to the process's
    beat: Mapped[float]  # seconds since 1970


class Bucket(Base):
    """What may still go up to an account: it fills at the platform's rate, and every image takes one token."""

    __tablename__ = "buckets"

    platform: Mapped[str] = mapped_column(primary_key=True)
    site: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(primary_key=True)
    minute: Mapped[float]  # tokens of the rate per minute
    day: Mapped[float]  # tokens of the rate per day
    filled: Mapped[float]  # seconds since 1970
    not_before: Mapped[float | None]  # seconds since 1970; until then the site wants to be left alone


class Probe(Base):
    """What the probe images told of a platform's codec."""

    __tablename__ = "probes"

    id: Mapped[int] = mapped_column(primary_key=True)
    platform: Mapped[str]
    generation: Mapped[int]  # in which the platform was found
    probed_at: Mapped[str] = mapped_column(default=now)
    changed: Mapped[bool]  # since that generation's fingerprint; such a probe is nothing to compare with
    seen: Mapped[str]  # JSON: {probe: {"header": …, "residual": …}}
    fingerprint: Mapped[str | None]  # digest of the one it was compared with; None: noted before that was kept
