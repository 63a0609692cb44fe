"""How often a run tries again: it waits longer each time, and ends when too much fails in a row."""

from __future__ import annotations

import logging
from collections.abc import Callable

from collect.errors import PageChanged, RateLimited, TransientError
from collect.ledger.rate_limit import MAX_REST_S, RateLimit
from collect.ledger.workers import Heartbeat
from collect.platform import Platform
from collect.retry import backoff_seconds

MAX_FAILURES = 12  # in a row, without any progress, after which a run ends with the last one
MAX_RATE_LIMITS = 36  # of those, where the site turns us away: with the longest waits, a day
MAX_PAGE_CHANGES = 3  # of those, where a page is not as the adapter expects
MAX_TRIES = 3  # at one thing that may pass: an image that fails alone, a served file that is another, a part of a batch

logger = logging.getLogger(__name__)


class RetryPolicy:
    """Waits after a failure, longer each time, until there are too many in a row, without any progress.

    Args:
        rate_limit: the account's on a live site, at which other collectors see that the site wants to be left alone.
        max_rate_limits: how often in a row the site may turn us away.
    """

    def __init__(
        self,
        platform: Platform,
        heartbeat: Heartbeat,
        rate_limit: RateLimit | None,
        *,
        max_rate_limits: int = MAX_RATE_LIMITS,
    ) -> None:
        self.platform = platform
        self.heartbeat = heartbeat
        self.rate_limit = rate_limit
        self.max_rate_limits = max_rate_limits
        self._failures = self._page_changes = 0

    def reset(self) -> None:
        """Count from nothing again, for there is progress."""
        self._failures = self._page_changes = 0

    def wait_or_raise(self, trouble: TransientError) -> None:
        """Wait, at least as long as the site asks for; raise the failure when it is one too many."""
        self._failures += 1
        self._page_changes = self._page_changes + 1 if isinstance(trouble, PageChanged) else 0
        wait = min(MAX_REST_S, backoff_seconds(trouble, self._failures, live=self.platform.is_live))
        if self.rate_limit and (trouble.retry_after_s or isinstance(trouble, RateLimited)):
            self.rate_limit.leave_alone(wait)
        most = self.max_rate_limits if isinstance(trouble, RateLimited) else MAX_FAILURES
        if self._failures >= most or self._page_changes >= MAX_PAGE_CHANGES:
            raise trouble
        self._rest(wait, trouble.message)

    def until_done(self, act: Callable[[], None]) -> None:
        """Do what can be done again, until it succeeds."""
        while True:
            try:
                act()
            except TransientError as trouble:
                self.wait_or_raise(trouble)
            else:
                self.reset()
                return

    def wait_as_asked(self) -> None:
        """Leave a live site alone for as long as it has asked any collector of the account, this one or not."""
        if self.rate_limit and (wait := self.rate_limit.rest()):
            self._rest(wait, f"{self.platform.name}: the site has turned this account away.")

    def _rest(self, wait: float, why: str) -> None:
        if wait > 5:
            logger.info("%s Going on in %.1f minutes.", why, wait / 60)
        self.heartbeat.rest(wait)
