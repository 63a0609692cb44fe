"""Go to a page of a site and see that it is the page: not an error, half a page, or one that turns us away."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from playwright.sync_api import Page, Response, TimeoutError

from collect.browser.blocking import check_marks, check_status
from collect.browser.page import evaluate, read_alerts, read_html
from collect.browser.traffic import Traffic, watch_traffic
from collect.errors import NotSignedIn, SubmitFailed, TransientError
from collect.retry import retry_read

if TYPE_CHECKING:
    from collect.platform import Site

PAGE_TIMEOUT_S = 30.0  # that a page may take to load
FILE_TIMEOUT_S = 5.0  # more for each file that goes up meanwhile
POLLING_INTERVAL_MS = 50


def visit(site: Site, page: Page, address: str) -> Response:
    """Go to an address of the site and wait until it is loaded whole; a passing fault is tried again.

    Raises TransientError for no answer, a cut one or an error of the server's, RateLimited and CaptchaRequired for what
    the site says so by, NotSignedIn where it leads to the sign-in page.
    """

    def once() -> Response:
        with watch_traffic(site, page) as traffic:
            response = page.goto(address, wait_until="commit")
            assert response is not None  # only an address on the same page, with a #, has no answer
            retry_after = response.headers.get("retry-after")
            check_status(site, response.status, page.url, retry_after)
            _wait_until_loaded(site, page, traffic, retry_after)
        if site.is_for_guests(page.url):
            raise NotSignedIn
        return response

    return retry_read(site, once)


@contextmanager
def expect_arrival(site: Site, page: Page, address: re.Pattern[str], *, files: int = 0) -> Iterator[None]:
    """Wait, on leaving, until what was done has led the page to an address, loaded whole; raise as `visit` does.

    Raises SubmitFailed, with what the page says by then (role alert), when it leads nowhere. `files`: how many go up
    before the page goes on.
    """
    before = read_alerts(page)
    with watch_traffic(site, page, responses=True) as traffic:
        yield
        end = time.monotonic() + PAGE_TIMEOUT_S + (FILE_TIMEOUT_S * files if site.is_live else 0)
        while not address.search(page.url):
            retry_after = traffic.check()
            if site.is_for_guests(page.url):
                raise NotSignedIn
            traffic.check_data()
            if time.monotonic() > end:
                check_marks(site, page.url, read_html(page), retry_after)
                traffic.check_data(stays=True)
                said = " ".join(each for each in read_alerts(page) if each not in before)
                raise SubmitFailed(
                    f"{site.name}: the page stays at {urlsplit(page.url).path} instead of going on.", said
                )
            page.wait_for_timeout(POLLING_INTERVAL_MS)
        _wait_until_loaded(site, page, traffic, traffic.check())
        traffic.check_data()


def _wait_until_loaded(site: Site, page: Page, traffic: Traffic, retry_after: str | None) -> None:
    end = time.monotonic() + PAGE_TIMEOUT_S
    while True:
        traffic.check()  # a page whose body was cut stays there for ever
        try:
            page.wait_for_load_state("domcontentloaded", timeout=POLLING_INTERVAL_MS)
            break
        except TimeoutError:
            if time.monotonic() > end:
                raise TransientError(f"{site.name}: a page takes too long to load.") from None
    traffic.check()
    marks = json.dumps([*site.challenge_marks, *site.block_marks])
    seen = evaluate(page, f"{marks}.filter((mark) => document.documentElement.outerHTML.includes(mark))")
    check_marks(site, page.url, " ".join(seen), retry_after)
