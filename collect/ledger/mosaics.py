"""Which images go up as tiles of a mosaic, and no longer alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, select

from collect.ledger.models import Tile, Upload, now
from collect.ledger.queries import LedgerQueries
from collect.ledger.transactions import insert_new, one_at_a_time


def pack_mosaic(ledger: LedgerQueries, tiles: Sequence[Mapping[str, Any]]) -> bool:
    """Write down which images go up in which mosaic, and no longer alone.

    False, with nothing written, where another collector has packed one of them meanwhile, or sends it alone: a
    mosaic is known by all its tiles.
    """
    with ledger.transaction() as session:
        one_at_a_time(session)
        images = [each["sha256"] for each in tiles]
        packed = session.scalars(select(Tile).filter_by(**ledger.key).where(Tile.sha256.in_(images))).first()
        rows = select(Upload).filter_by(**ledger.key).where(Upload.sha256.in_(images))
        alone = session.scalars(rows.order_by(Upload.id).with_for_update()).all()
        if packed or any(each.state != "planned" for each in alone):
            return False
        session.execute(delete(Upload).where(Upload.id.in_([each.id for each in alone])))
        insert_new(session, Tile, [{**ledger.key, **each} for each in tiles])
    return True


def unpack_mosaic(ledger: LedgerQueries, mosaic: str, reason: str) -> None:
    """Strike out the tiles of a mosaic that failed; their images are planned, alone, and keep the reason."""
    with ledger.transaction() as session:
        one_at_a_time(session)
        struck = session.scalars(delete(Tile).filter_by(**ledger.key, mosaic=mosaic).returning(Tile.sha256)).all()
        planned = {"planned_at": now(), "state": "planned", "reason": reason}
        insert_new(session, Upload, [{**ledger.key, "sha256": each, **planned} for each in struck])
