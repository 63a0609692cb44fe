"""The ledger: every upload attempt, written down before it is made."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import Engine, Select, and_, delete, or_, select, update
from sqlalchemy.orm import Session

from collect.errors import TransientError
from collect.ledger.models import Download, Tile, Upload, now
from collect.ledger.transactions import insert_new, one_at_a_time, transaction
from collect.ledger.workers import dead

HERE = ("confirmed", "downloaded", "verified")  # states of what is on the platform
GONE = "it was published and is not shown any more"  # the reason why it is rejected


class Arrival(NamedTuple):
    """A file that a platform served of an upload, in the store; and why it is not what went up, if it is not."""

    upload: Upload
    address: str  # without its query
    file: Path
    reason: str | None = None


class Ledger:
    """The uploads of one account on one platform in one generation, as one collector sees them.

    Each method is one transaction, so that several collectors, on several machines, can share a ledger.
    """

    def __init__(
        self, engine: Engine, *, platform: str, site: str, account: str, generation: int, collector: str
    ) -> None:
        self.engine = engine
        self.key: dict[str, Any] = {
            "platform": platform,
            "site": site,
            "account": account,
            "generation": generation,
        }
        self.collector = collector

    def transaction(self) -> AbstractContextManager[Session]:
        """Open a transaction; a UserError when the database can't take it, as on a full disk."""
        return transaction(self.engine)

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

    def planned(self) -> list[str]:
        """List the images, by sha256, that are to go up, in the order of their plan."""
        with self.transaction() as session:
            chosen = select(Upload.sha256).filter_by(**self.key, state="planned", deleted_at=None)
            return list(session.scalars(chosen.order_by(Upload.id)))

    def alone(self) -> set[str]:
        """Return all, by sha256, that go up alone: more than planned, also if deleted since, or unpacked."""
        with self.transaction() as session:
            chosen = select(Upload.sha256).filter_by(**self.key)
            return set(session.scalars(chosen.where(or_(Upload.state != "planned", Upload.reason.is_not(None)))))

    def arrived(self) -> set[str]:
        """Return all, by sha256, that have gone up; also what has been deleted since."""
        with self.transaction() as session:
            return set(session.scalars(select(Upload.sha256).filter_by(**self.key).where(Upload.state.in_(HERE))))

    def uploads(self, *states: str) -> list[Upload]:
        """List the uploads in some states, in the order of their plan."""
        with self.transaction() as session:
            chosen = select(Upload).filter_by(**self.key).where(Upload.state.in_(states), Upload.deleted_at.is_(None))
            return list(session.scalars(chosen.order_by(Upload.id)))

    def claim(self, images: Sequence[str]) -> list[Upload]:
        """Write down, before it is made, that an attempt is made; return what no other collector has in hand."""
        title = f"comreadv {uuid.uuid4().hex[:12]}"
        with self.transaction() as session:
            chosen = select(Upload).filter_by(**self.key, state="planned").where(Upload.sha256.in_(images))
            claimed = list(session.scalars(chosen.order_by(Upload.id).with_for_update()))
            for position, each in enumerate(claimed):
                each.state, each.collector, each.sent_at = "sent", self.collector, now()
                each.batch, each.position = title, position
        return claimed

    def doubt(self) -> dict[str, list[Upload]]:
        """Take over the attempts that were cut off, by title: `unknown` from now on, each in its batch's order.

        Ours, since only what is over is asked about, and those of collectors that are dead.
        """
        with self.transaction() as session:
            rows = select(Upload).filter_by(**self.key).where(Upload.state.in_(("sent", "unknown")))
            batches: dict[str, list[Upload]] = {}
            for each in self._free(session, rows):
                each.state, each.collector = "unknown", self.collector
                batches.setdefault(each.batch or "", []).append(each)
        return batches

    def settle(
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

    def receive(self, uploads: Sequence[Upload], remote_ids: Mapping[int, str]) -> None:
        """Keep remote ids, by position, as soon as the site has said them, ahead of publication.

        Raises TransientError when the batch is another collector's by now, which took us for dead.
        """
        told = [(uploads[position], remote_id) for position, remote_id in remote_ids.items()]
        with self.transaction() as session:
            self._lock(session, uploads)
            _change(session, [{"id": each.id, "remote_id": remote_id} for each, remote_id in told])
        for each, remote_id in told:
            each.remote_id = remote_id

    def waiting(self, rendition: str, images: Collection[str]) -> list[Upload]:
        """Take in hand, and list, which of these images are on the platform and have no verified download.

        What a living collector has in hand is left to it.
        """
        with self.transaction() as session:
            done = select(Download.upload_id).where(Download.rendition == rendition, Download.verified)
            chosen = select(Upload).filter_by(**self.key, deleted_at=None)
            chosen = chosen.where(Upload.state.in_(HERE), Upload.id.not_in(done))
            taken = [each for each in self._free(session, chosen) if each.sha256 in images]
            for each in taken:
                each.collector = self.collector
        return taken

    def keep(self, rendition: str, arrivals: Sequence[Arrival], *, main: bool = True) -> None:
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

    def miss(self, upload: Upload, reason: str) -> None:
        """Write down why what is on the platform did not come down; the next run tries again."""
        with self.transaction() as session:
            session.execute(update(Upload).where(Upload.id == upload.id).values(reason=reason, collector=None))

    def reassign(self, uploads: Sequence[Upload], remote_ids: Sequence[str]) -> None:
        """Write down which remote id is whose, once the contents have told."""
        for each, remote_id in zip(uploads, remote_ids, strict=True):
            each.remote_id = remote_id
        with self.transaction() as session:
            _change(session, [{"id": each.id, "remote_id": each.remote_id} for each in uploads])

    def forget(self, download: Download, *, main: bool = True) -> None:
        """Strike out a download whose file is gone, so that it is fetched again.

        What is deleted from the platform goes up again, and comes down in every rendition. `main`: as in `keep`.
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

    def downloads(self, rendition: str) -> dict[str, Download]:
        """Return the verified downloads of a rendition by the sha256 of what was uploaded."""
        with self.transaction() as session:
            rows = session.scalars(
                select(Download)
                .join(Upload)
                .filter_by(**self.key)
                .where(Download.rendition == rendition, Download.verified)
            ).unique()
            return {each.upload.sha256: each for each in rows}

    def rejections(self) -> dict[str, str]:
        """Return the site's reasons by the sha256 of what was uploaded."""
        with self.transaction() as session:
            chosen = select(Upload).filter_by(**self.key, state="rejected")
            return {each.sha256: each.reason or "" for each in session.scalars(chosen)}

    def missing(self) -> dict[str, str]:
        """Return why what is on the platform has not come down, by the sha256 of what was uploaded."""
        with self.transaction() as session:
            chosen = select(Upload).filter_by(**self.key).where(Upload.state.in_(HERE), Upload.reason.is_not(None))
            return {each.sha256: each.reason or "" for each in session.scalars(chosen)}

    def busy_elsewhere(self, images: Collection[str]) -> bool:
        """Tell whether another collector has some of these images in hand, so that they are to be waited for."""
        with self.transaction() as session:
            on_its_way = Upload.state.in_(("sent", "unknown"))
            to_come = and_(Upload.state.in_(("confirmed", "downloaded")), Upload.reason.is_(None))
            rows = select(Upload).filter_by(**self.key).where(or_(on_its_way, to_come))
            found = session.scalars(rows.where(Upload.collector.not_in(self._ours(session, rows))))
            return any(each.sha256 in images for each in found)

    def held_elsewhere(self) -> bool:
        """Tell whether another collector has anything of the account in hand, of whichever generation."""
        account = {name: value for name, value in self.key.items() if name != "generation"}
        with self.transaction() as session:
            rows = select(Upload).filter_by(**account)
            others = rows.where(Upload.collector.not_in(self._ours(session, rows)))
            return session.scalars(others.limit(1)).first() is not None

    def to_delete(self, images: Collection[str] | None = None) -> dict[str, list[Upload]]:
        """Take in hand what may be on the platform, of these images or of all, by the title of its batch.

        Also what was gone from there: it may be shown again.
        """
        gone = and_(Upload.state == "rejected", Upload.reason == GONE, Upload.remote_id.is_not(None))
        with self.transaction() as session:
            rows = select(Upload).filter_by(**self.key, deleted_at=None).where(or_(Upload.state.in_(HERE), gone))
            batches: dict[str, list[Upload]] = {}
            for each in self._free(session, rows):
                if images is None or each.sha256 in images:
                    each.collector = self.collector
                    batches.setdefault(each.batch or "", []).append(each)
        return batches

    def pack(self, tiles: Sequence[Mapping[str, Any]]) -> bool:
        """Write down which images go up in which mosaic, and no longer alone.

        False, with nothing written, where another collector has packed one of them meanwhile, or sends it alone: a
        mosaic is known by all its tiles.
        """
        with self.transaction() as session:
            one_at_a_time(session)
            images = [each["sha256"] for each in tiles]
            packed = session.scalars(select(Tile).filter_by(**self.key).where(Tile.sha256.in_(images))).first()
            rows = select(Upload).filter_by(**self.key).where(Upload.sha256.in_(images))
            alone = session.scalars(rows.order_by(Upload.id).with_for_update()).all()
            if packed or any(each.state != "planned" for each in alone):
                return False
            session.execute(delete(Upload).where(Upload.id.in_([each.id for each in alone])))
            insert_new(session, Tile, [{**self.key, **each} for each in tiles])
        return True

    def unpack(self, mosaic: str, reason: str) -> None:
        """Strike out the tiles of a mosaic that failed; their images are planned, alone, and keep the reason."""
        with self.transaction() as session:
            one_at_a_time(session)
            struck = session.scalars(delete(Tile).filter_by(**self.key, mosaic=mosaic).returning(Tile.sha256)).all()
            planned = {"planned_at": now(), "state": "planned", "reason": reason}
            insert_new(session, Upload, [{**self.key, "sha256": each, **planned} for each in struck])

    def tiles(self) -> dict[str, Tile]:
        """Return the tiles by the sha256 of the image."""
        with self.transaction() as session:
            return {each.sha256: each for each in session.scalars(select(Tile).filter_by(**self.key))}

    def delete(self, uploads: Sequence[Upload]) -> None:
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

    def release(self, uploads: Sequence[Upload] | None = None) -> None:
        """Leave some uploads to the others, or all that this collector has in hand and that is not on its way up."""
        which = Upload.state.in_(HERE) if uploads is None else Upload.id.in_([each.id for each in uploads])
        with self.transaction() as session:
            ours = update(Upload).filter_by(**self.key, collector=self.collector)
            session.execute(ours.where(which).values(collector=None))

    def _lock(self, session: Session, batch: Sequence[Upload]) -> None:
        """Lock a batch; raise TransientError when it is another collector's by now."""
        ours = select(Upload.id).where(Upload.id.in_([each.id for each in batch]))
        ours = ours.where(Upload.collector == self.collector).order_by(Upload.id).with_for_update()
        if len(session.scalars(ours).all()) != len(batch):
            raise TransientError("Another collector has taken this one's work over, taking it for dead.")

    def _free(self, session: Session, rows: Select[Upload]) -> list[Upload]:
        """Lock, in the order of their plan, the rows that no other living collector has in hand, and return them."""
        free = or_(Upload.collector.is_(None), Upload.collector.in_(self._ours(session, rows)))
        return list(session.scalars(rows.where(free).order_by(Upload.id).with_for_update()))

    def _ours(self, session: Session, rows: Select[Upload]) -> set[str]:
        """Name the collectors whose rows are ours to take: ourselves, and the dead ones."""
        holders = set(session.scalars(rows.with_only_columns(Upload.collector).distinct()))
        return {self.collector} | dead(session, {each for each in holders if each is not None} - {self.collector})


def _change(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Set columns of uploads by their id, many at once."""
    if rows:  # without any, the statement would be one for all uploads
        session.execute(update(Upload), [dict(row) for row in sorted(rows, key=itemgetter("id"))])
