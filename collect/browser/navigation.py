"""Go to a page of a site and see that it is the page: not an error, half a page, or one that turns us away."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, Request, Response, TimeoutError

from collect.browser.blocking import check_marks, check_status, parse_retry_after
from collect.browser.page import evaluate, read_alerts, read_html
from collect.errors import NotSignedIn, RateLimited, SubmitFailed, TransientError
from collect.redaction import describe_browser_error
from collect.retry import retry_read

if TYPE_CHECKING:
    from collect.platform import Site

PAGE_TIMEOUT_S = 30.0  # seconds that a page may take to load
FILE_TIMEOUT_S = 5.0  # more of them for each file that goes up meanwhile
POLLING_INTERVAL_MS = 50  # milliseconds between two looks


def visit(site: Site, page: Page, address: str) -> Response:
    """Go to an address of the site and wait until it is loaded whole; a passing fault is tried again.

    Raises TransientError for no answer, a cut one or an error of the server's, RateLimited and CaptchaRequired for what
    the site says so by, NotSignedIn where it leads to the sign-in page.
    """

    def once() -> Response:
        with _heard(site, page) as trouble:
            answer = page.goto(address, wait_until="commit")
            assert answer is not None  # only an address on the same page, with a #, has no answer
            retry_after = answer.headers.get("retry-after")
            check_status(site, answer.status, page.url, retry_after)
            _wait_until_whole(site, page, trouble, retry_after)
        if site.is_for_guests(page.url):
            raise NotSignedIn
        return answer

    return retry_read(site, once)


@contextmanager
def expect_arrival(site: Site, page: Page, address: re.Pattern[str], *, files: int = 0) -> Iterator[None]:
    """Wait, on leaving, until what was done has led the page to an address, loaded whole; raise as `visit` does.

    Raises SubmitFailed, with what the page says by then (role alert), when it leads nowhere. `files`: how many go up
    before the page goes on.
    """
    before = read_alerts(page)
    heard: list[Response] = []
    with _heard(site, page, heard) as trouble:
        yield
        end = time.monotonic() + PAGE_TIMEOUT_S + (FILE_TIMEOUT_S * files if site.is_live else 0)
        while not address.search(page.url):
            retry_after = trouble()
            if site.is_for_guests(page.url):
                raise NotSignedIn
            _check_data(site, page, heard)
            if time.monotonic() > end:
                check_marks(site, page.url, read_html(page), retry_after)
                _check_data(site, page, heard, stays=True)
                said = " ".join(each for each in read_alerts(page) if each not in before)
                raise SubmitFailed(
                    f"{site.name}: the page stays at {urlsplit(page.url).path} instead of going on.", said
                )
            page.wait_for_timeout(POLLING_INTERVAL_MS)
        _wait_until_whole(site, page, trouble, trouble())
        _check_data(site, page, heard)


@contextmanager
def _heard(site: Site, page: Page, heard: list[Response] | None = None) -> Iterator[Callable[[], str | None]]:
    """Listen to what becomes of the page and of what it posts; yield a function that raises what was amiss.

    It returns the Retry-After of the last answer. Without `heard`, the list for the answers, only to what is cut: to
    hear of every thumbnail takes its time.
    """
    cut: list[Request] = []

    def answered(answer: Response) -> None:
        if heard is not None and _is_ours(page, answer.request):
            heard.append(answer)

    def failed(request: Request) -> None:
        left = request.failure == "net::ERR_ABORTED" and not request.is_navigation_request()  # as its page was
        if not left and _is_ours(page, request):
            cut.append(request)

    def trouble() -> str | None:
        retry_after = None
        for request in cut:
            raise TransientError(f"{site.name}: the connection was cut ({request.failure}).")
        for answer in heard or ():
            retry_after = answer.headers.get("retry-after")
            check_status(site, answer.status, answer.url, retry_after)
            if answer.status in (401, 403):
                raise NotSignedIn
        return retry_after

    if heard is not None:
        page.on("response", answered)
    page.on("requestfailed", failed)
    try:
        yield trouble
    except PlaywrightError as error:
        trouble()
        if "has been closed" in error.message or isinstance(error, TimeoutError):
            raise
        raise TransientError(f"{site.name}: a page did not load ({describe_browser_error(error)}).") from None
    finally:
        if heard is not None:
            page.remove_listener("response", answered)
        page.remove_listener("requestfailed", failed)


def _is_ours(page: Page, request: Request) -> bool:
    """Tell whether a request is the page itself, or what it posts to its own host; not a frame's, nor a beacon."""
    posted = request.method == "POST" and urlsplit(request.url).netloc == urlsplit(page.url).netloc
    if not (posted or request.is_navigation_request()) or request.resource_type == "ping":
        return False
    try:
        return request.frame == page.main_frame
    except PlaywrightError:  # of a frame that is not there yet
        return False


def _check_data(site: Site, page: Page, heard: Sequence[Response], *, stays: bool = False) -> None:
    """Raise RateLimited or CaptchaRequired where the page was answered with a page instead of data.

    The type says little, since some sites send JSON as HTML. Of an answer whose text the page has not kept nobody
    knows, unless the page `stays`, which speaks for the worst.
    """
    doubtful = [
        each
        for each in heard
        if "html" in each.headers.get("content-type", "") and not each.request.is_navigation_request()
    ]
    if not doubtful:
        return
    kept = evaluate(page, "(window.comreadvAnswers ?? []).map(([, , , text, , where]) => [where, text])")
    for answer in doubtful:
        texts = [text for where, text in kept if where == answer.url and text != "null"]  # no JSON where that was asked
        pages = [text for text in texts if text.lstrip().startswith("<")]
        if pages or (stays and not texts):
            retry_after = answer.headers.get("retry-after")
            check_marks(site, "", " ".join(pages), retry_after)
            raise RateLimited(
                f"{site.name}: the site answers with a page where data should be.", parse_retry_after(retry_after)
            )


def _wait_until_whole(site: Site, page: Page, trouble: Callable[[], object], retry_after: str | None) -> None:
    end = time.monotonic() + PAGE_TIMEOUT_S
    while True:
        trouble()  # a page whose body was cut stays there for ever
        try:
            page.wait_for_load_state("domcontentloaded", timeout=POLLING_INTERVAL_MS)
            break
        except TimeoutError:
            if time.monotonic() > end:
                raise TransientError(f"{site.name}: a page takes too long to load.") from None
    trouble()
    marks = json.dumps([*site.challenge_marks, *site.block_marks])
    seen = evaluate(page, f"{marks}.filter((mark) => document.documentElement.outerHTML.includes(mark))")
    check_marks(site, page.url, " ".join(seen), retry_after)
