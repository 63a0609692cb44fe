"""What the site answers to its own page's requests, and its data read by the form that an adapter expects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from playwright.sync_api import CDPSession, Locator, Page, TimeoutError
from playwright.sync_api import Error as PlaywrightError
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from collect.browser.blocking import check_marks, check_status, parse_retry_after
from collect.browser.cdp import ResponseHeads
from collect.browser.navigation import FILE_TIMEOUT_S
from collect.browser.page import evaluate, read_html
from collect.browser.recorder import Recorded, read_recorded, wait_for_recorded
from collect.errors import NotSignedIn, PageChanged, RateLimited, TransientError
from collect.redaction import describe_browser_error

if TYPE_CHECKING:
    from collect.platform import Site

RESPONSE_TIMEOUT_S = 15.0  # for the answers to some files, and FILE_TIMEOUT_S more for each


class Answer(BaseModel, coerce_numbers_to_str=True):
    """What an adapter expects in a site's JSON: a subclass names only what it reads, which may have more about it."""


Expected = TypeVar("Expected", bound=Answer)


def parse_answer(site: Site, content: object, expected: type[Expected]) -> Expected:
    """Read a site's data by the form that an adapter expects; raise PageChanged for data of another form."""
    try:
        return expected.model_validate(content)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]
        raise PageChanged(
            f"{site.name}: the site's answer is not as collect/platforms/{site.name}.py expects:"
            f" {'.'.join(map(str, wrong['loc']))}: {wrong['msg']}."
        ) from None


@dataclass
class Response:
    """An answer of the site, known once the `with` of expect_responses is left; status 0: the connection was cut."""

    site: Site
    status: int = 0
    text: str = ""
    retry_after: str | None = None
    address: str = ""  # the address that answered, after redirects
    file: str | None = None  # the name of the file that the request carried

    def json(self) -> dict[str, Any]:
        """Read the site's JSON object.

        Raises:
            NotSignedIn: the site asks who is there.
            TransientError: the answer is none, or no data; nobody knows then what became of the request.
            CaptchaRequired: the site wants to see a person.
        """
        if self.status in (401, 403):
            raise NotSignedIn
        if self.status == 0:
            raise TransientError(f"{self.site.name}: the connection was cut while the site answered.")
        check_status(self.site, self.status, self.address, self.retry_after)
        try:
            content = from_json(self.text)
        except ValueError:  # also for data that are nested without end
            content = None
        if self.status != 200 or not isinstance(content, dict):
            check_marks(self.site, "", self.text, self.retry_after)
            raise RateLimited(
                f"{self.site.name}: the site answers with HTTP {self.status} and no data: it turns us away, or has"
                " changed.",
                parse_retry_after(self.retry_after),
            )
        return content


@contextmanager
def expect_responses(site: Site, page: Page, part: str, count: int) -> Iterator[list[Response]]:
    """Wait, on leaving, for so many answers to requests of the page whose address contains `part`, in their order.

    HTTP 4xx, by which the site wants no more of it, ends the wait. Raises what went wrong with one where others never
    come after it.
    """
    with watch_withheld(site, page, part) as complete:
        start, path = evaluate(page, "[window.comreadvAnswers.length, location.pathname]")
        answers: list[Response] = []
        yield answers
        timeout_s = RESPONSE_TIMEOUT_S + count * FILE_TIMEOUT_S
        try:
            found = wait_for_recorded(site, page, part, count, start=start, path=path, timeout_s=timeout_s)
        except TimeoutError:
            recorded = read_recorded(site, page, start)
            failed = [_response(site, each) for each in recorded if part in each.asked and each.status != 200]
            complete(failed)
            for answer in failed:
                answer.json()
            raise
        if not found:
            if site.is_for_guests(page.url):
                raise NotSignedIn
            check_marks(site, page.url, read_html(page))
            raise TransientError(
                f"{site.name}: the page went away to {urlsplit(page.url).path} before the site answered."
            )
        found.sort(key=lambda each: each.status != 200)
        answers.extend(_response(site, each) for each in found)
        complete(answers)


def _response(site: Site, recorded: Recorded) -> Response:
    _, file, status, text, retry_after, address = recorded
    return Response(site, status, text or "", retry_after, address, file)


def request_data(site: Site, page: Page, address: str, **options: Any) -> Response:
    """Request an address of the site with a page's cookies, without showing it; `options`: as Playwright takes them."""
    try:
        answer = page.request.get(address, **options)
        text = answer.body().decode(errors="replace")
    except PlaywrightError as error:
        raise TransientError(f"{site.name}: an answer was cut off ({describe_browser_error(error)}).") from None
    return Response(site, answer.status, text, answer.headers.get("retry-after"), answer.url)


def read_file_responses(answers: Sequence[Response], files: Sequence[Path]) -> dict[int, dict[str, Any]]:
    """Read the site's JSON about each file, by position, without those whose request was cut or met an error.

    Raises as `Response.json` and `match_files` do; TransientError only when no file has arrived, when the site asks
    to be left alone for a while, or when some file has no answer.
    """
    contents: dict[int, dict[str, Any]] = {}
    failed: dict[int, TransientError] = {}
    for position, answer in match_files(answers, files):
        try:
            contents[position] = answer.json()
        except RateLimited:
            raise
        except TransientError as trouble:
            failed[position] = trouble
    longest = max(failed.values(), key=lambda trouble: trouble.retry_after_s or 0.0, default=None)
    if longest and (not contents or longest.retry_after_s):
        raise longest
    if len(contents.keys() | failed.keys()) < len(files):
        raise TransientError(f"{answers[0].site.name}: the page has sent a file twice, and another not yet.")
    return contents


def check_file_count(site: Site, contents: Mapping[int, object], shown: Locator, button: Locator) -> None:
    """Raise TransientError when a page is about to publish more files than the site has told of.

    It may have sent one again that had failed. `shown`: what stands there for each file; `button`: publishes them,
    once the page has done with all.
    """
    button.click(trial=True)
    if shown.count() != len(contents):
        raise TransientError(
            f"{site.name}: the page has sent a file again by itself. Nothing of the batch was published."
        )


def match_files(answers: Sequence[Response], files: Sequence[Path]) -> Iterator[tuple[int, Response]]:
    """Tell which file each answer is about, by the name that its request carried.

    Raises PageChanged when requests carry no such names: with a batch of one there is nothing to tell apart.
    """
    positions = {file.name: position for position, file in enumerate(files)}
    for answer in answers:
        if len(files) > 1 and answer.file not in positions:
            raise PageChanged(
                f"{answer.site.name}: the page no longer sends files under their names, so that nobody can tell which"
                f" answer is whose. Set batch_size = 1 in collect/platforms/{answer.site.name}.py."
            )
        yield positions.get(answer.file or "", 0), answer


@contextmanager
def watch_withheld(site: Site, page: Page, part: str) -> Iterator[Callable[[Sequence[Response]], None]]:
    """Listen to the answers to the page's requests whose address contains `part`; yield what completes answers by them.

    Only on a live site: all that a sandbox serves is of one origin, and to hear of every thumbnail takes its time.
    """
    if not site.is_live:
        yield lambda _answers: None
        return
    browser = page.context.new_cdp_session(page)
    heads = ResponseHeads(part)
    browser.on("Network.requestWillBeSent", heads.on_request)
    browser.on("Network.responseReceivedExtraInfo", heads.on_response)
    browser.on("Network.loadingFailed", heads.on_failure)
    browser.send("Network.enable")
    try:
        yield lambda answers: _complete(answers, heads, browser)
    finally:
        with suppress(PlaywrightError):  # of a page that is gone
            browser.detach()


def _complete(answers: Sequence[Response], heads: ResponseHeads, browser: CDPSession) -> None:
    """Write into answers what the page could not read: their status, where it is 0, and Retry-After.

    Whose status is whose is told by the order, which will do: one that turns us away stops the whole batch.
    """
    browser.send("Network.disable")  # once that is done, all that was heard has been told
    unread = [each for each in answers if each.status == 0]
    for answer, head in zip(unread, heads.withheld(), strict=False):
        answer.status, answer.retry_after, answer.address = head
    waits = heads.retry_after_by_status()
    for answer in answers:
        answer.retry_after = answer.retry_after or waits.get(answer.status)
