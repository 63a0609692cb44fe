"""Go to a page of a site and see that it is the page: not an error, half a page, or one that turns us away."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, Response

from collect.platform import Challenged, Interrupted, TurnedAway

if TYPE_CHECKING:
    from collect.platform import Site

BUSY = (418, 420, 429)


def visit(site: Site, page: Page, address: str) -> Response:
    """Go to an address of the site and wait until it is loaded whole.

    Raises Interrupted for no answer, a cut one or an error of the server's, TurnedAway and Challenged for what
    the site says so by.
    """
    try:
        answer = page.goto(address)  # a page whose body was cut is never loaded, which is an error here
    except PlaywrightError as error:
        if "has been closed" in error.message:
            raise
        reason = error.message.partition("\n")[0]
        raise Interrupted(f"{site.name}: a page of the site did not load whole ({reason}).") from None
    assert answer is not None  # only an address on the same page, with a #, has no answer
    check(site, answer.status, page.url, answer.headers.get("retry-after"))
    check_marks(site, page.url, page.content())
    return answer


def check(site: Site, status: int, where: str, retry_after: str | None = None) -> None:
    """Raise TurnedAway for a status that asks for less, Interrupted for one that is the server's own trouble."""
    if status in BUSY:
        raise TurnedAway(f"{site.name}: the site turns us away for now (HTTP {status}).", seconds(retry_after))
    if status >= 500:
        raise Interrupted(f"{site.name}: the site has trouble of its own (HTTP {status}).")
    check_marks(site, where, "")


def check_marks(site: Site, where: str, text: str) -> None:
    """Raise Challenged or TurnedAway where an address or a text has the mark of such a page, HTTP 200 or not."""
    if any(mark in where or mark in text for mark in site.challenge_marks):
        raise Challenged(
            f"{site.name}: the site asks for a person (a captcha). Nobody here solves that: open the site in your own"
            " browser, do what it asks, and run again later; what is done stays done."
        )
    if any(mark in where or mark in text for mark in site.block_marks):
        raise TurnedAway(f"{site.name}: the site turns us away for now (a block page).")


def seconds(retry_after: str | None) -> float | None:
    """Read a Retry-After header, seconds or a date, as seconds from now; None for none or for nonsense."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        then = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp())
