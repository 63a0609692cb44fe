"""How long to wait when a site says so, or fails, and reading a page again that may be read twice."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from collect.errors import RateLimited, TransientError

if TYPE_CHECKING:
    from collect.platform import Site

MAX_DELAY_S = 3600.0  # between two tries
MAX_READ_ATTEMPTS = 5
MAX_READ_DELAY_S = 30.0  # a longer wait is the collector's affair
Result = TypeVar("Result")


def backoff_seconds(trouble: TransientError, failures: int, *, live: bool) -> float:
    """Return the seconds to wait after so many failures in a row, 1 or more: doubled each time, never in step.

    What the site asks for (Retry-After) is the least.
    """
    first = (60.0 if isinstance(trouble, RateLimited) else 4.0) if live else 0.05
    wait = min(first * 2.0 ** min(failures - 1, 20), MAX_DELAY_S if live else 2.0)
    return max(trouble.retry_after_s or 0.0, wait * random.uniform(0.5, 1.0))


def pause_between_requests(site: Site) -> None:
    """Wait, before the next page or file of a live site, about as long as a person would."""
    if site.is_live:
        time.sleep(with_jitter(site.request_interval_s))


def with_jitter(seconds: float) -> float:
    """Return about as many seconds, as a person would take."""
    return seconds * random.uniform(0.5, 1.5)


def retry_read(site: Site, read: Callable[[], Result]) -> Result:
    """Read something of the site, a few times if need be; never for what sends anything."""
    failures = 0
    while True:
        try:
            return read()
        except TransientError as trouble:
            failures += 1
            wait = backoff_seconds(trouble, failures, live=site.is_live)
            if failures == MAX_READ_ATTEMPTS or wait > MAX_READ_DELAY_S:
                raise
            time.sleep(wait)
