"""Pages and statuses by which a site turns us away, or asks for a person."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from collect.errors import CaptchaRequired, RateLimited, TransientError

if TYPE_CHECKING:
    from collect.platform import Site

RATE_LIMIT_STATUSES = (418, 420, 429)


def check_status(site: Site, status: int, where: str, retry_after: str | None = None) -> None:
    """Raise RateLimited for a status that asks for less, TransientError for one that is the server's own trouble."""
    if status in RATE_LIMIT_STATUSES:
        raise RateLimited(
            f"{site.name}: the site turns us away for now (HTTP {status}).", parse_retry_after(retry_after)
        )
    if status >= 500:
        trouble = TransientError(f"{site.name}: the site has trouble of its own (HTTP {status}).")
        trouble.retry_after_s = parse_retry_after(retry_after)
        raise trouble
    check_marks(site, where, "", retry_after)


def check_marks(site: Site, where: str, text: str, retry_after: str | None = None) -> None:
    """Raise CaptchaRequired or RateLimited where an address or a text has the mark of such a page, HTTP 200 or not.

    A mark that begins with a slash is one of addresses: pages link to much.
    """

    def found(marks: Sequence[str]) -> bool:
        return any(mark in where or (mark in text and not mark.startswith("/")) for mark in marks)

    if found(site.challenge_marks):
        raise CaptchaRequired(
            f"{site.name}: the site asks for a person (a captcha). Nobody here solves that: open the site in your own"
            " browser, do what it asks, and run again later; what is done stays done."
        )
    if found(site.block_marks):
        raise RateLimited(
            f"{site.name}: the site turns us away for now (a block page).", parse_retry_after(retry_after)
        )


def parse_retry_after(retry_after: str | None) -> float | None:
    """Read a Retry-After header, seconds or a date, as seconds from now; None for none or for nonsense."""
    if retry_after is None:
        return None
    if (number := retry_after.strip()).isdecimal():
        wait = float(number)
        return wait if math.isfinite(wait) else None
    try:
        then = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp())
