"""The ledger: leases on uploads, and the states that they go through."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, delete, or_, select, update
from sqlalchemy.orm import Session

from collect.errors import TransientError
from collect.ledger.models import NO_LONGER_SHOWN, PUBLISHED_STATES, Download, Tile, Upload, now
from collect.ledger.queries import LedgerQueries
from collect.ledger.transactions import insert_new, one_at_a_time


class Arrival(NamedTuple):
    """A file that a platform served of an upload, in the store; and why it is not what went up, if it is not."""

    upload: Upload
    address: str  # without its query
    file: Path
    reason: str | None = None


class Ledger(LedgerQueries):
    """What a collector writes down: a `claim_…` takes leases, which no other collector has then; the rest records."""

    def plan(self, images: Iterable[str]) -> None:
        """Write down the images, by sha256, that are to go up and are not yet in the ledger, alone or in a mosaic."""
        with self.transaction() as session:
            one_at_a_time(session)
            known = set(session.scalars(select(Upload.sha256).filter_by(**self.key)))
            known |= set(session.scalars(select(Tile.sha256).filter_by(**self.key)))
            rows = [
                {**self.key, "sha256": each, "planned_at": now(), "state": "planned"}
                for each in dict.fromkeys(images)
                if each not in known
            ]
            insert_new(session, Upload, rows)

    def claim_uploads(self, images: Sequence[str]) -> list[Upload]:
        """Write down, before it is made, that an attempt is made; return what no other collector has claimed."""
        title = f"comreadv {uuid.uuid4().hex[:12]}"
        with self.transaction() as session:
            chosen = select(Upload).filter_by(**self.key, state="planned").where(Upload.sha256.in_(images))
            claimed = list(session.scalars(chosen.order_by(Upload.id).with_for_update()))
            for position, each in enumerate(claimed):
                each.state, each.collector, each.sent_at = "sent", self.collector, now()
                each.batch, each.position = title, position
        return claimed

    def claim_unknown(self) -> dict[str, list[Upload]]:
        """Take over the attempts that were cut off, by title: `unknown` from now on, each in its batch's order.

        Ours, since only what is over is asked about, and those of collectors that are dead.
        """
        with self.transaction() as session:
            rows = select(Upload).filter_by(**self.key).where(Upload.state.in_(("sent", "unknown")))
            claimed = self._claim(session, rows)
            for each in claimed:
                each.state = "unknown"
        return _by_batch(claimed)

    def claim_downloads(self, rendition: str, images: Collection[str]) -> list[Upload]:
        """Take leases on those of these images that are on the platform and have no verified download."""
        with self.transaction() as session:
            done = select(Download.upload_id).where(Download.rendition == rendition, Download.verified)
            chosen = select(Upload).filter_by(**self.key, deleted_at=None)
            return self._claim(
                session, chosen.where(Upload.state.in_(PUBLISHED_STATES), Upload.id.not_in(done)), images
            )

    def claim_deletions(self, images: Collection[str] | None = None) -> dict[str, list[Upload]]:
        """Take leases on what may be on the platform, of these images or of all; by the title of its batch.

        Also on what was gone from there: it may be shown again.
        """
        gone = and_(Upload.state == "rejected", Upload.reason == NO_LONGER_SHOWN, Upload.remote_id.is_not(None))
        with self.transaction() as session:
            rows = select(Upload).filter_by(**self.key, deleted_at=None)
            return _by_batch(self._claim(session, rows.where(or_(Upload.state.in_(PUBLISHED_STATES), gone)), images))

    def release(self, uploads: Sequence[Upload]) -> None:
        """Give up our leases on some uploads."""
        self._release(Upload.id.in_([each.id for each in uploads]))

    def release_all(self) -> None:
        """Give up all our leases but those on what is on its way up."""
        self._release(Upload.state.in_(PUBLISHED_STATES))

    def record_remote_ids(self, uploads: Sequence[Upload], remote_ids: Mapping[int, str]) -> None:
        """Keep remote ids, by position, as soon as the site has said them, ahead of publication.

        Raises TransientError when the batch is another collector's by now, which took us for dead.
        """
        told = [(uploads[position], remote_id) for position, remote_id in remote_ids.items()]
        with self.transaction() as session:
            self._lock(session, uploads)
            _change(session, [{"id": each.id, "remote_id": remote_id} for each, remote_id in told])
        for each, remote_id in told:
            each.remote_id = remote_id

    def record_outcome(
        self, batch: Sequence[Upload], shown: Mapping[int, str], *, refused: Mapping[int, str] = MappingProxyType({})
    ) -> None:
        """Confirm what the platform shows of a batch; the rest never arrived and is planned again.

        `refused`: the reasons, by position, why some are not to go up again. Raises TransientError when the batch is
        another collector's by now, which took us for dead.
        """
        rows: list[dict[str, Any]] = []
        for each in batch:
            position = each.position if each.position is not None else -1
            values: dict[str, Any] = {"state": "planned", "collector": None}
            values |= {"batch": None, "position": None, "remote_id": None}
            if position in shown:
                values = {"state": "confirmed", "remote_id": shown[position], "confirmed_at": now(), "reason": None}
            elif position in refused:
                values = {"state": "rejected", "reason": refused[position], "collector": None}
            rows.append({"id": each.id, **values})
        with self.transaction() as session:
            self._lock(session, batch)
            _change(session, rows)

    def record_downloads(self, rendition: str, arrivals: Sequence[Arrival], *, main: bool = True) -> None:
        """Write down downloads: verified, or the reason why one is not what was uploaded.

        `main`: it is the rendition that the uploads' states tell of.
        """
        changes = []
        with self.transaction() as session:
            ids = [each.upload.id for each in arrivals]
            session.execute(delete(Download).where(Download.upload_id.in_(ids), Download.rendition == rendition))
            for each in arrivals:
                session.add(
                    Download(
                        upload_id=each.upload.id,
                        rendition=rendition,
                        address=each.address,
                        sha256=each.file.name,
                        bytes=each.file.stat().st_size,
                        verified=each.reason is None,
                    )
                )
                state = "downloaded" if each.reason else "verified"
                changes.append({"id": each.upload.id, "state": state, "reason": each.reason})
            _change(session, changes if main else [])

    def record_missing(self, upload: Upload, reason: str) -> None:
        """Write down why what is on the platform did not come down; the next run tries again."""
        with self.transaction() as session:
            session.execute(update(Upload).where(Upload.id == upload.id).values(reason=reason, collector=None))

    def record_deletions(self, uploads: Sequence[Upload]) -> None:
        """Write down that images are no longer on the platform; those that never came down are planned again.

        Not what is rejected.
        """
        with self.transaction() as session:
            for each in uploads:
                row = session.get_one(Upload, each.id)
                row.deleted_at, row.collector = now(), None
                if row.state not in ("verified", "rejected"):
                    row.state, row.remote_id, row.batch, row.position = "planned", None, None, None
                    row.deleted_at = row.reason = None
                    session.execute(delete(Download).filter_by(upload_id=row.id))  # of another rendition

    def reassign_remote_ids(self, uploads: Sequence[Upload], remote_ids: Sequence[str]) -> None:
        """Write down which remote id is whose, once the contents have told."""
        for each, remote_id in zip(uploads, remote_ids, strict=True):
            each.remote_id = remote_id
        with self.transaction() as session:
            _change(session, [{"id": each.id, "remote_id": each.remote_id} for each in uploads])

    def discard_download(self, download: Download, *, main: bool = True) -> None:
        """Strike out a download whose file is gone, so that it is fetched again.

        What is deleted from the platform goes up again, and comes down in every rendition. `main`: as in
        `record_downloads`.
        """
        with self.transaction() as session:
            upload = session.get_one(Upload, download.upload_id)
            struck = delete(Download).filter_by(upload_id=upload.id)
            session.execute(struck if upload.deleted_at else struck.filter_by(rendition=download.rendition))
            if upload.deleted_at:
                upload.state = "planned"
                upload.deleted_at = upload.remote_id = upload.batch = upload.position = upload.collector = None
            elif main:
                upload.state = "confirmed"

    def _claim(self, session: Session, rows: Select[Upload], images: Collection[str] | None = None) -> list[Upload]:
        """Lock, in the order of their plan, the rows without another living collector's lease; take ours on them."""
        free = or_(Upload.collector.is_(None), Upload.collector.in_(self._leases_to_take(session, rows)))
        claimed = list(session.scalars(rows.where(free).order_by(Upload.id).with_for_update()))
        claimed = [each for each in claimed if images is None or each.sha256 in images]
        for each in claimed:
            each.collector = self.collector
        return claimed

    def _release(self, which: ColumnElement[bool]) -> None:
        with self.transaction() as session:
            ours = update(Upload).filter_by(**self.key, collector=self.collector)
            session.execute(ours.where(which).values(collector=None))

    def _lock(self, session: Session, batch: Sequence[Upload]) -> None:
        """Lock a batch; raise TransientError when it is another collector's by now."""
        ours = select(Upload.id).where(Upload.id.in_([each.id for each in batch]))
        ours = ours.where(Upload.collector == self.collector).order_by(Upload.id).with_for_update()
        if len(session.scalars(ours).all()) != len(batch):
            raise TransientError("Another collector has taken this one's work over, taking it for dead.")


def _by_batch(uploads: Iterable[Upload]) -> dict[str, list[Upload]]:
    batches: dict[str, list[Upload]] = {}
    for each in uploads:
        batches.setdefault(each.batch or "", []).append(each)
    return batches


def _change(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Set columns of uploads by their id, many at once."""
    if rows:  # without any, the statement would be one for all uploads
        session.execute(update(Upload), [dict(row) for row in sorted(rows, key=itemgetter("id"))])
