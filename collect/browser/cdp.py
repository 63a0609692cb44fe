"""What the browser withholds from a page: answers of another origin that don't say that the page may read them.

A site's answer that turns somebody away seldom says so, and the page then knows no more than of a cut connection; nor
may it read a Retry-After. Playwright tells of no such answer either, but the browser's own protocol (CDP) does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from playwright.sync_api import CDPSession, Page
from playwright.sync_api import Error as PlaywrightError

if TYPE_CHECKING:
    from collect.browser.responses import Answer
    from collect.platform import Site


class Head(NamedTuple):
    """How an answer began."""

    status: int
    retry_after: str | None
    where: str  # the address that answered, or to which it leads


@contextmanager
def overheard(site: Site, page: Page, part: str) -> Iterator[Callable[[Sequence[Answer]], None]]:
    """Listen to the answers to the page's requests whose address contains `part`; yield what completes answers by them.

    Only on a live site: all that a sandbox serves is of one origin, and to hear of every thumbnail takes its time.
    """
    if not site.is_live:
        yield lambda _answers: None
        return
    browser = page.context.new_cdp_session(page)
    heads = Heads(part)
    browser.on("Network.requestWillBeSent", heads.sent)
    browser.on("Network.responseReceivedExtraInfo", heads.answered)
    browser.on("Network.loadingFailed", heads.failed)
    browser.send("Network.enable")
    try:
        yield lambda answers: _complete(answers, heads, browser)
    finally:
        with suppress(PlaywrightError):  # of a page that is gone
            browser.detach()


class Heads:
    """The heads of answers, withheld or not, by the browser's numbers of the requests."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._addresses: dict[str, str] = {}
        self._preflights: dict[str, str] = {}  # the request by which the browser asks whether it may make that one
        self._answered: dict[str, dict[str, Any]] = {}
        self._withheld: list[str] = []

    def sent(self, event: dict[str, Any]) -> None:
        number, address = event["requestId"], event["request"]["url"]
        if asked_for := event["initiator"].get("requestId"):
            self._preflights[asked_for] = number
        elif self._part in address or number in self._addresses:  # where the request was led to
            self._addresses[number] = address

    def answered(self, event: dict[str, Any]) -> None:
        self._answered[event["requestId"]] = event  # it may come before `sent`

    def failed(self, event: dict[str, Any]) -> None:
        if "corsErrorStatus" in event and event["requestId"] in self._addresses:
            self._withheld.append(event["requestId"])

    def withheld(self) -> list[Head]:
        """List the heads of the answers that the page may not read, in their order."""
        return [head for number in self._withheld if (head := self._head(number))]

    def waits(self) -> dict[int, str]:
        """Return the Retry-After that came with each status."""
        heads = filter(None, map(self._head, self._addresses))
        return {head.status: head.retry_after for head in heads if head.retry_after}

    def _head(self, number: str) -> Head | None:
        event = self._answered.get(number) or self._answered.get(self._preflights.get(number, ""))
        if event is None:
            return None
        headers = {name.lower(): value for name, value in event["headers"].items()}
        where = headers.get("location", self._addresses[number])
        return Head(event["statusCode"], headers.get("retry-after"), where)


def _complete(answers: Sequence[Answer], heads: Heads, browser: CDPSession) -> None:
    """Write into answers what the page could not read: their status, where it is 0, and Retry-After.

    Whose status is whose is told by the order, which will do: one that turns us away stops the whole batch.
    """
    browser.send("Network.disable")  # once that is done, all that was heard has been told
    unread = [each for each in answers if each.status == 0]
    for answer, head in zip(unread, heads.withheld(), strict=False):
        answer.status, answer.retry_after, answer.where = head
    waits = heads.waits()
    for answer in answers:
        answer.retry_after = answer.retry_after or waits.get(answer.status)
