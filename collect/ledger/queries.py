"""What the ledger knows of an account's uploads; nothing here takes a lease or changes a row."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Engine, Select, and_, or_, select
from sqlalchemy.orm import Session

from collect.ledger.models import PUBLISHED_STATES, Download, Tile, Upload
from collect.ledger.transactions import transaction
from collect.ledger.workers import dead_workers


class LedgerQueries:
    """The uploads of one account on one platform in one generation, as one collector sees them.

    Each method is one transaction, so that several collectors, on several machines, can share a ledger.
    """

    def __init__(
        self, engine: Engine, *, platform: str, site: str, account: str, generation: int, collector: str
    ) -> None:
        self.engine = engine
        self.key: dict[str, Any] = {"platform": platform, "site": site, "account": account, "generation": generation}
        self.collector = collector

    def transaction(self) -> AbstractContextManager[Session]:
        """Open a transaction; a UserError when the database can't take it, as on a full disk."""
        return transaction(self.engine)

    def planned(self) -> list[str]:
        """List the images, by sha256, that are to go up, in the order of their plan."""
        with self.transaction() as session:
            chosen = select(Upload.sha256).filter_by(**self.key, state="planned", deleted_at=None)
            return list(session.scalars(chosen.order_by(Upload.id)))

    def not_packable(self) -> set[str]:
        """Return what has been sent alone, by sha256, also if deleted since, or what a failed mosaic was to hold."""
        with self.transaction() as session:
            chosen = select(Upload.sha256).filter_by(**self.key)
            return set(session.scalars(chosen.where(or_(Upload.state != "planned", Upload.reason.is_not(None)))))

    def published(self) -> set[str]:
        """Return all, by sha256, that have gone up; also what has been deleted since."""
        with self.transaction() as session:
            chosen = select(Upload.sha256).filter_by(**self.key).where(Upload.state.in_(PUBLISHED_STATES))
            return set(session.scalars(chosen))

    def uploads(self, *states: str) -> list[Upload]:
        """List the uploads in some states, in the order of their plan."""
        with self.transaction() as session:
            chosen = select(Upload).filter_by(**self.key).where(Upload.state.in_(states), Upload.deleted_at.is_(None))
            return list(session.scalars(chosen.order_by(Upload.id)))

    def downloads(self, rendition: str) -> dict[str, Download]:
        """Return the verified downloads of a rendition by the sha256 of what was uploaded."""
        with self.transaction() as session:
            chosen = select(Download).join(Upload).filter_by(**self.key)
            rows = session.scalars(chosen.where(Download.rendition == rendition, Download.verified)).unique()
            return {each.upload.sha256: each for each in rows}

    def rejections(self) -> dict[str, str]:
        """Return the site's reasons by the sha256 of what was uploaded."""
        with self.transaction() as session:
            chosen = select(Upload).filter_by(**self.key, state="rejected")
            return {each.sha256: each.reason or "" for each in session.scalars(chosen)}

    def missing(self) -> dict[str, str]:
        """Return why what is on the platform has not come down, by the sha256 of what was uploaded."""
        with self.transaction() as session:
            chosen = select(Upload).filter_by(**self.key)
            chosen = chosen.where(Upload.state.in_(PUBLISHED_STATES), Upload.reason.is_not(None))
            return {each.sha256: each.reason or "" for each in session.scalars(chosen)}

    def tiles(self) -> dict[str, Tile]:
        """Return the tiles of mosaics by the sha256 of the image."""
        with self.transaction() as session:
            return {each.sha256: each for each in session.scalars(select(Tile).filter_by(**self.key))}

    def busy_elsewhere(self, images: Collection[str]) -> bool:
        """Tell whether another collector has leases on some of these images, so that they are to be waited for."""
        with self.transaction() as session:
            on_its_way = Upload.state.in_(("sent", "unknown"))
            to_come = and_(Upload.state.in_(("confirmed", "downloaded")), Upload.reason.is_(None))
            rows = select(Upload).filter_by(**self.key).where(or_(on_its_way, to_come))
            found = session.scalars(rows.where(Upload.collector.not_in(self._leases_to_take(session, rows))))
            return any(each.sha256 in images for each in found)

    def held_elsewhere(self) -> bool:
        """Tell whether another collector has a lease on anything of the account, of whichever generation."""
        account = {name: value for name, value in self.key.items() if name != "generation"}
        with self.transaction() as session:
            rows = select(Upload).filter_by(**account)
            others = rows.where(Upload.collector.not_in(self._leases_to_take(session, rows)))
            return session.scalars(others.limit(1)).first() is not None

    def _leases_to_take(self, session: Session, rows: Select[Upload]) -> set[str]:
        """Name the collectors whose leases are ours to take: ourselves, and the dead ones."""
        holders = set(session.scalars(rows.with_only_columns(Upload.collector).distinct()))
        others = {each for each in holders if each is not None} - {self.collector}
        return {self.collector} | dead_workers(session, others)
