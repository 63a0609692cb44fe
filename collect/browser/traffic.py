"""What becomes of a page and of what it posts to its own host: cut off, turned away, answered with a page for data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, Request, Response, TimeoutError

from collect.browser.blocking import check_marks, check_status, parse_retry_after
from collect.browser.recorder import read_recorded
from collect.errors import NotSignedIn, RateLimited, TransientError
from collect.redaction import describe_browser_error

if TYPE_CHECKING:
    from collect.platform import Site


class Traffic:
    """What was heard of a page's requests."""

    def __init__(self, site: Site, page: Page) -> None:
        self.site, self.page = site, page
        self.cut: list[Request] = []
        self.responses: list[Response] = []

    def on_response(self, response: Response) -> None:
        if self._is_watched(response.request):
            self.responses.append(response)

    def on_failure(self, request: Request) -> None:
        left = request.failure == "net::ERR_ABORTED" and not request.is_navigation_request()  # as its page was
        if not left and self._is_watched(request):
            self.cut.append(request)

    def _is_watched(self, request: Request) -> bool:
        """Tell whether a request is the page itself, or what it posts to its own host; not a frame's, nor a beacon."""
        posted = request.method == "POST" and urlsplit(request.url).netloc == urlsplit(self.page.url).netloc
        if not (posted or request.is_navigation_request()) or request.resource_type == "ping":
            return False
        try:
            return request.frame == self.page.main_frame
        except PlaywrightError:  # of a frame that is not there yet
            return False

    def check(self) -> str | None:
        """Raise what was amiss with a request; return the Retry-After of the last response."""
        for request in self.cut:
            raise TransientError(f"{self.site.name}: the connection was cut ({request.failure}).")
        retry_after = None
        for response in self.responses:
            retry_after = response.headers.get("retry-after")
            check_status(self.site, response.status, response.url, retry_after)
            if response.status in (401, 403):
                raise NotSignedIn
        return retry_after

    def check_data(self, *, stays: bool = False) -> None:
        """Raise RateLimited or CaptchaRequired where the page was answered with a page instead of data.

        The type says little, since some sites send JSON as HTML. Of an answer whose text is not recorded nobody
        knows, unless the page `stays`, which speaks for the worst.
        """
        doubtful = [
            each
            for each in self.responses
            if "html" in each.headers.get("content-type", "") and not each.request.is_navigation_request()
        ]
        if not doubtful:
            return
        recorded = read_recorded(self.site, self.page)
        for response in doubtful:
            texts = [each.text or "" for each in recorded if each.address == response.url and each.text != "null"]
            pages = [text for text in texts if text.lstrip().startswith("<")]  # "null": no JSON where that was asked
            if pages or (stays and not texts):
                retry_after = response.headers.get("retry-after")
                check_marks(self.site, "", " ".join(pages), retry_after)
                raise RateLimited(
                    f"{self.site.name}: the site answers with a page where data should be.",
                    parse_retry_after(retry_after),
                )


@contextmanager
def watch_traffic(site: Site, page: Page, *, responses: bool = False) -> Iterator[Traffic]:
    """Watch what becomes of a page's requests; raise TransientError for a page that does not load.

    Args:
        responses: hear of what is answered too, not only of what is cut: each thumbnail then takes its time.
    """
    traffic = Traffic(site, page)
    if responses:
        page.on("response", traffic.on_response)
    page.on("requestfailed", traffic.on_failure)
    try:
        yield traffic
    except PlaywrightError as error:
        traffic.check()
        if "has been closed" in error.message or isinstance(error, TimeoutError):
            raise
        raise TransientError(f"{site.name}: a page did not load ({describe_browser_error(error)}).") from None
    finally:
        if responses:
            page.remove_listener("response", traffic.on_response)
        page.remove_listener("requestfailed", traffic.on_failure)
