"""The script in every page that keeps the answers which the page's own scripts read, and how to read what it keeps.

Chromium drops the body of an answer to a request that carried a file before Playwright can ask for it ("evicted
from inspector cache").
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from playwright.sync_api import Page
from pydantic import TypeAdapter, ValidationError

from collect.browser.page import evaluate, wait_for_value
from collect.errors import PageChanged

if TYPE_CHECKING:
    from collect.platform import Site

RECORDER_SCRIPT = Path(__file__).with_name("recorder.js").read_text(encoding="utf-8")
FIND_SCRIPT = """([part, start, count, path]) => {
  const found = window.comreadvAnswers.slice(start).filter(([asked]) => asked.includes(part));
  if (found.length >= count || found.some(([, , status]) => status >= 400 && status < 500)) return found;
  return location.pathname !== path && document.readyState === 'complete' ? [] : null;
}"""


class Recorded(NamedTuple):
    """An answer to a page's own script."""

    asked: str  # the address that the script named
    file: str | None  # the name of the file that the request carried
    status: int  # 0: the connection was cut
    text: str | None
    retry_after: str | None
    address: str  # that answered, after redirects


_rows = TypeAdapter(list[Recorded])


def read_recorded(site: Site, page: Page, start: int = 0) -> list[Recorded]:
    """List what is recorded on a page, but for the first `start`."""
    return _validated(site, evaluate(page, f"(window.comreadvAnswers ?? []).slice({start})"))


def wait_for_recorded(
    site: Site, page: Page, part: str, count: int, *, start: int, path: str, timeout_s: float
) -> list[Recorded]:
    """Wait for so many answers to requests whose address contains `part`, or for one of HTTP 4xx.

    Returns none when the page has gone away from `path`. Raises Playwright's TimeoutError.
    """
    return _validated(site, wait_for_value(page, FIND_SCRIPT, [part, start, count, path], timeout=1000 * timeout_s))


def _validated(site: Site, rows: object) -> list[Recorded]:
    try:
        return _rows.validate_python(rows)
    except ValidationError:
        raise PageChanged(f"{site.name}: the page has changed the record of what its scripts are answered.") from None
