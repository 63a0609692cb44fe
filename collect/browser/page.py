"""What a page shows: its HTML, its alerts, its elements' properties, and a value of its scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Locator, Page

from collect.errors import PageChanged
from collect.retry import MAX_READ_ATTEMPTS

if TYPE_CHECKING:
    from collect.platform import Site

POLLING_INTERVAL_MS = 5  # of the page's own looking


def evaluate(page: Page, expression: str) -> Any:
    """Evaluate a JavaScript expression on a page, within the time that a step has.

    Playwright's own `evaluate` and `content` wait for ever on a page whose next one never comes whole.
    """
    return wait_for_value(page, f"() => [{expression}]")[0]


def wait_for_value(page: Page, function: str, argument: object = None, *, timeout: float | None = None) -> Any:
    """Wait until a JavaScript function returns something on a page, or on the one that it goes on to; return that.

    Args:
        timeout: milliseconds; None: those that a step has.
    """
    gone = 0
    while True:
        found = page.wait_for_function(function, arg=argument, polling=POLLING_INTERVAL_MS, timeout=timeout)
        try:
            return found.json_value()
        except PlaywrightError as error:  # the page has gone, with what was found
            gone += 1
            if gone == MAX_READ_ATTEMPTS or "context was destroyed" not in error.message:
                raise


def read_alerts(page: Page) -> list[str]:
    """List what a page says by elements of the role alert, each in one line."""
    shown = evaluate(page, "[...document.querySelectorAll('[role=alert]')].map((each) => `${each.innerText ?? ''}`)")
    return [" ".join(each.split()) for each in shown if each.strip()]


def read_property(site: Site, locator: Locator, name: str) -> list[str]:
    """List a property of the elements of a locator; raise PageChanged where it is no text."""
    values = locator.evaluate_all("(elements, name) => elements.map((each) => each[name])", name)
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise PageChanged(f"{site.name}: an element of the page has no {name}.")
    return values


def read_html(page: Page) -> str:
    """Return a page's HTML."""
    return str(evaluate(page, "document.documentElement.outerHTML"))
