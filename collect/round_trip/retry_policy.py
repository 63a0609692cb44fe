"""How much trouble a run bears: it waits longer each time, and ends when there is too much in a row."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.text import Text

from collect.errors import PageChanged, RateLimited, TransientError
from collect.ledger.rate_limit import LONGEST_KEPT, RateLimit
from collect.ledger.workers import Heartbeat
from collect.platform import Platform
from collect.retry import backoff_seconds

WITH_ANYTHING = 12  # troubles in a row, without any progress, after which a run ends with the last one
WITH_A_SITE = 36  # that turns us away: with the longest waits, a day
WITH_A_PAGE = 3  # that is not as the adapter expects


class RetryPolicy:
    """Waits trouble out, longer each time, until there is too much of it in a row, without any progress.

    Args:
        rate: the account's on a live site, at which other collectors see that the site wants to be left alone.
        with_a_site: how often it may turn us away.
    """

    def __init__(
        self,
        platform: Platform,
        heart: Heartbeat,
        console: Console,
        rate: RateLimit | None,
        *,
        with_a_site: int = WITH_A_SITE,
    ) -> None:
        self.platform = platform
        self.heart = heart
        self.console = console
        self.rate = rate
        self.with_a_site = with_a_site
        self._failures = self._changed = 0

    def renew(self) -> None:
        """Begin to count anew, for there is progress."""
        self._failures = self._changed = 0

    def bear(self, trouble: TransientError) -> None:
        """Wait, at least as long as the site asks for; raise the trouble when it is too much."""
        self._failures += 1
        self._changed = self._changed + 1 if isinstance(trouble, PageChanged) else 0
        wait = min(LONGEST_KEPT, backoff_seconds(trouble, self._failures, live=self.platform.is_live))
        if self.rate and (trouble.retry_after_s or isinstance(trouble, RateLimited)):
            self.rate.leave_alone(wait)
        most = self.with_a_site if isinstance(trouble, RateLimited) else WITH_ANYTHING
        if self._failures >= most or self._changed >= WITH_A_PAGE:
            raise trouble
        self._rest(wait, trouble.message)

    def outlast(self, act: Callable[[], None]) -> None:
        """Do what can be done again, until there is no trouble with it."""
        while True:
            try:
                act()
            except TransientError as trouble:
                self.bear(trouble)
            else:
                self.renew()
                return

    def rest_as_asked(self) -> None:
        """Leave a live site alone for as long as it has asked any collector of the account, this one or not."""
        if self.rate and (wait := self.rate.rest()):
            self._rest(wait, f"{self.platform.name}: the site has turned this account away.")

    def _rest(self, wait: float, why: str) -> None:
        if wait > 5:
            self.console.print(Text(f"{why} Going on in {wait / 60:.1f} minutes."), soft_wrap=True)
        self.heart.rest(wait)
