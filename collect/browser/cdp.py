"""What the browser withholds from a page: answers of another origin that don't say that the page may read them.

A site's answer that turns somebody away seldom says so, and the page then knows no more than of a cut connection; nor
may it read a Retry-After. Playwright tells of no such answer either, but the browser's own protocol (CDP) does.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class ResponseHead(NamedTuple):
    """How an answer began."""

    status: int
    retry_after: str | None
    address: str  # the address that answered, or to which it leads


class ResponseHeads:
    """The heads of answers, withheld or not, by the browser's numbers of the requests."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._addresses: dict[str, str] = {}
        self._preflights: dict[str, str] = {}  # the request by which the browser asks whether it may make that one
        self._answered: dict[str, dict[str, Any]] = {}
        self._withheld: list[str] = []

    def on_request(self, event: dict[str, Any]) -> None:
        number, address = event["requestId"], event["request"]["url"]
        if asked_for := event["initiator"].get("requestId"):
            self._preflights[asked_for] = number
        elif self._part in address or number in self._addresses:  # where the request was led to
            self._addresses[number] = address

    def on_response(self, event: dict[str, Any]) -> None:
        self._answered[event["requestId"]] = event  # it may come before `sent`

    def on_failure(self, event: dict[str, Any]) -> None:
        if "corsErrorStatus" in event and event["requestId"] in self._addresses:
            self._withheld.append(event["requestId"])

    def withheld(self) -> list[ResponseHead]:
        """List the heads of the answers that the page may not read, in their order."""
        return [head for number in self._withheld if (head := self._head(number))]

    def retry_after_by_status(self) -> dict[int, str]:
        """Return the Retry-After that came with each status."""
        heads = filter(None, map(self._head, self._addresses))
        return {head.status: head.retry_after for head in heads if head.retry_after}

    def _head(self, number: str) -> ResponseHead | None:
        event = self._answered.get(number) or self._answered.get(self._preflights.get(number, ""))
        if event is None:
            return None
        headers = {name.lower(): value for name, value in event["headers"].items()}
        address = headers.get("location", self._addresses[number])
        return ResponseHead(event["statusCode"], headers.get("retry-after"), address)
