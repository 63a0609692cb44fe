"""The ledger: every upload attempt, written down before it is made."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    MetaData,
    UniqueConstraint,
    create_engine,
    make_url,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from params import UserError

STATES = ("planned", "sent", "unknown", "confirmed", "rejected")


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


NAMING = {  # of constraints, here and in the pairs database
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class Upload(Base):
    """One image on its way up. Named by its content, so that the same bytes never go up twice.

    planned → sent (written before the attempt) → confirmed, or rejected with the site's reason; a `sent`
    whose answer was lost is `unknown` until the album has been read back.
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
    reason: Mapped[str | None]
    planned_at: Mapped[str] = mapped_column(default=now)
    sent_at: Mapped[str | None]
    confirmed_at: Mapped[str | None]

    downloads: Mapped[list[Download]] = relationship(back_populates="upload")

    __table_args__ = (
        UniqueConstraint("platform", "site", "account", "generation", "sha256"),
        CheckConstraint(f"state IN {STATES}", name="state"),
        CheckConstraint("state != 'confirmed' OR remote_id IS NOT NULL", name="confirmed_has_remote_id"),
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

    upload: Mapped[Upload] = relationship(back_populates="downloads")

    __table_args__ = (UniqueConstraint("upload_id", "rendition"),)


class Ledger:
    """The uploads of one account on one platform in one generation."""

    def __init__(self, session: Session, *, platform: str, site: str, account: str, generation: int) -> None:
        self.session = session
        self.key = {"platform": platform, "site": site, "account": account, "generation": generation}

    def plan(self, images: Iterable[str]) -> None:
        """Write down the images, by sha256, that are to go up and are not yet in the ledger."""
        known = set(self.session.scalars(select(Upload.sha256).filter_by(**self.key)))
        self.session.add_all(Upload(**self.key, sha256=each) for each in dict.fromkeys(images) if each not in known)
        self.session.commit()

    def uploads(self, state: str) -> list[Upload]:
        """List the uploads in a state, in the order of their plan."""
        chosen = select(Upload).filter_by(**self.key, state=state).order_by(Upload.id)
        return list(self.session.scalars(chosen))

    def doubt(self) -> dict[str, list[Upload]]:
        """Call the attempts that were cut off `unknown`; return all such by batch, in their batch's order."""
        cut = update(Upload).filter_by(**self.key, state="sent").values(state="unknown")
        self.session.execute(cut)
        self.session.commit()
        batches: dict[str, list[Upload]] = {}
        for each in sorted(self.uploads("unknown"), key=lambda upload: upload.position or 0):
            batches.setdefault(each.batch or "", []).append(each)
        return batches

    def settle(self, batch: Sequence[Upload], shown: dict[int, str]) -> None:
        """Confirm what the platform shows of a batch in doubt; the rest never arrived and is planned again."""
        for each in batch:
            remote_id = shown.get(each.position if each.position is not None else -1)
            if remote_id is None:
                each.state, each.batch, each.position, each.remote_id = "planned", None, None, None
            else:
                each.state, each.remote_id, each.confirmed_at = "confirmed", remote_id, now()
        self.session.commit()

    def send(self, uploads: Sequence[Upload]) -> str:
        """Write down, before it is made, that an attempt is made; return the title of its batch."""
        title = f"comreadv {uuid.uuid4().hex[:12]}"
        for position, each in enumerate(uploads):
            each.state, each.batch, each.position, each.sent_at = "sent", title, position, now()
        self.session.commit()
        return title

    def receive(self, upload: Upload, remote_id: str) -> None:
        """Keep a remote id as soon as the site has said it, ahead of publication."""
        upload.remote_id = remote_id
        self.session.commit()

    def confirm(self, uploads: Sequence[Upload], remote_ids: Sequence[str]) -> None:
        """Write down that a batch is published."""
        for each, remote_id in zip(uploads, remote_ids, strict=True):
            each.state, each.remote_id, each.confirmed_at = "confirmed", remote_id, now()
        self.session.commit()

    def reject(self, uploads: Sequence[Upload], position: int, reason: str) -> None:
        """Keep the site's reason against one image; the others of its batch are planned again."""
        self.settle(uploads, {})
        uploads[position].state, uploads[position].reason = "rejected", reason
        self.session.commit()

    def without(self, rendition: str) -> list[Upload]:
        """List the confirmed uploads whose rendition has not been downloaded."""
        return [
            each
            for each in self.uploads("confirmed")
            if not any(download.rendition == rendition for download in each.downloads)
        ]

    def keep(self, upload: Upload, rendition: str, address: str, file: Path) -> None:
        """Write down a download."""
        body = file.read_bytes()
        digest = hashlib.sha256(body).hexdigest()
        self.session.add(Download(upload=upload, rendition=rendition, address=address, sha256=digest, bytes=len(body)))
        self.session.commit()

    def forget(self, download: Download) -> None:
        """Strike out a download whose file is gone, so that it is fetched again."""
        self.session.delete(download)
        self.session.commit()
        self.session.expire_all()

    def downloads(self, rendition: str) -> dict[str, Download]:
        """Return the downloads of a rendition by the sha256 of what was uploaded."""
        rows = self.session.scalars(
            select(Download).join(Upload).filter_by(**self.key).where(Download.rendition == rendition)
        )
        return {each.upload.sha256: each for each in rows}

    def rejections(self) -> dict[str, str]:
        """Return the site's reasons by the sha256 of what was uploaded."""
        return {each.sha256: each.reason or "" for each in self.uploads("rejected")}


@contextmanager
def open_ledger(url: str) -> Iterator[Session]:
    """Open the ledger at a SQLAlchemy address, made if there is none; a UserError when it can't be."""
    try:
        where = make_url(url)
        if where.database and where.get_backend_name() == "sqlite":
            Path(where.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(where)
        Base.metadata.create_all(engine)
    except (SQLAlchemyError, OSError, ImportError) as error:
        raise UserError(f"collect.ledger in params.yaml can't be opened: {error}") from None
    try:
        with Session(engine, expire_on_commit=False) as session:
            yield session
    finally:
        engine.dispose()
