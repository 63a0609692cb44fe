"""How fast: what may go up by the platform's limits, and how long to wait when a site says so, or fails."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from collect.ledger.models import Bucket
from collect.ledger.transactions import insert_new, transaction

MINUTES_PER_DAY = 24 * 60.0
BURST_SHARE = 0.1  # share of a day's images that may go up at once; the rest comes in over the day
MAX_REST_S = 24 * 3600.0  # that a site is believed: nobody could take back a nonsense of years


class RateLimit:
    """An account's token buckets, one for the minute and one for the day, in the ledger: they outlive a restart.

    All collectors of the account draw on the same ones. In any day no more than `per_day` go up, unless one batch
    alone is more than a tenth of that; in any minute about `per_minute`, for what was not used before comes on top.
    """

    def __init__(self, engine: Engine, account: dict[str, Any], *, per_minute: float, per_day: float) -> None:
        self.engine = engine
        self.account = account  # platform, site, account
        self.per_minute = per_minute
        self.per_day = per_day

    def take(self, count: int) -> float:
        """Take so many tokens; return 0.0, or how many seconds to wait before asking again, none being taken."""
        with transaction(self.engine) as session:
            bucket = self._bucket(session)
            minutes = max(0.0, time.time() - bucket.filled) / 60
            bucket.minute = min(max(self.per_minute, count), bucket.minute + minutes * self.per_minute)
            per_minute_of_day = self.per_day * (1 - BURST_SHARE) / MINUTES_PER_DAY
            bucket.day = min(max(self.per_day * BURST_SHARE, count), bucket.day + minutes * per_minute_of_day)
            bucket.filled = time.time()
            short = max((count - bucket.minute) / self.per_minute, (count - bucket.day) / per_minute_of_day)
            wait = max(60 * short, _left(bucket))
            if wait > 6e-8:
                return wait
            bucket.minute -= count
            bucket.day -= count
        return 0.0

    def leave_alone(self, seconds: float) -> None:
        """Give nobody a token for so long: the site has turned the account away."""
        with transaction(self.engine) as session:
            bucket = self._bucket(session)
            bucket.not_before = max(bucket.not_before or 0.0, time.time() + min(seconds, MAX_REST_S))

    def rest(self) -> float:
        """Return how many seconds the site still wants to be left alone, whichever collector it has told."""
        with transaction(self.engine) as session:
            return _left(self._bucket(session))

    def _bucket(self, session: Session) -> Bucket:
        """Lock and return the account's bucket, a full one when there is none yet."""
        full = {"minute": self.per_minute, "day": self.per_day * BURST_SHARE, "filled": time.time()}
        insert_new(session, Bucket, [self.account | full])
        return session.scalars(select(Bucket).filter_by(**self.account).with_for_update()).one()


def _left(bucket: Bucket) -> float:
    return max(0.0, (bucket.not_before or 0.0) - time.time())
