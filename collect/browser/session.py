"""A platform in the browser, signed in: what a collector asks of it, and what becomes of it in trouble."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, Playwright, sync_playwright

from collect import redaction
from collect.browser import login, responses, storage_state
from collect.browser.blocking import check_marks
from collect.browser.diagnostics import adapter_frames, ends_in_adapter, save_page
from collect.browser.downloader import downloader
from collect.browser.launch import end_browsers, launch_browser
from collect.browser.page import read_html
from collect.errors import CaptchaRequired, NotSignedIn, PageChanged, RateLimited, TransientError, Trouble
from collect.platform import Batch, Site
from collect.retry import pause_between_requests, retry_read
from params import UserError

STEP_TIMEOUT_MS = 20_000  # that a step may wait for its mark on the page
SANDBOX_STEP_TIMEOUT_MS = 8_000
HANG_TIMEOUT_S = 7200.0  # after which a browser is taken to hang in a step: an album may have a thousand pages
SANDBOX_HANG_TIMEOUT_S = 120.0
PARALLEL_DOWNLOADS = 4  # downloads from a site on this computer
MOST_TROUBLE = 3.0  # after which a context is retired; each trouble counts 1, each step without one takes off 0.5
MOST_STEPS = 500  # after which it is too: a browser's memory grows with the pages that it has seen
OTHERWISE = (KeyError, IndexError, TypeError, AttributeError, ValueError)  # from an answer that an adapter misreads
Result = TypeVar("Result")


@contextmanager
def open_session(platform: Site) -> Iterator[BrowserSession]:
    """Open a platform in a browser, signed in: at a sandbox by its button, else by the stored state."""
    platform.check_address()
    if platform.is_live:
        storage_state.stored_state(platform)  # nobody signed in: say so before a browser starts
    with sync_playwright() as playwright:
        session = BrowserSession(platform, playwright)
        try:
            yield session
        finally:
            session.close()


class BrowserSession:
    """A platform's pages, driven by its adapter; a step that fails leaves a screenshot and the page's HTML.

    A context that meets trouble too often, or that is signed out, is retired and another one is signed in. A browser
    that has ended, or hangs and is ended for it, gives way to another.
    """

    def __init__(self, platform: Site, playwright: Playwright) -> None:
        self.platform = platform
        self.playwright = playwright
        self.browser = launch_browser(playwright, platform)
        self.account = ""
        self._trouble, self._steps, self._signed_out_seen = 0.0, 0, False
        with self._watched():
            retry_read(platform, self._renew)

    def upload(self, batch: Batch) -> dict[int, str]:
        return self._step(lambda: self.platform.upload(self.page, batch))

    def read_back(self, batch: Batch) -> dict[int, str]:
        return self._step(lambda: self.platform.read_back(self.page, batch))

    def download(
        self, remote_ids: Sequence[str], rendition: str, files: Sequence[Path], accept: str | None = None
    ) -> list[str | Trouble]:
        """Download, as one person on a live site and several at once from this computer."""
        begun: list[Callable[[], str] | Trouble] = []
        stop: Trouble | None = None
        with ThreadPoolExecutor(1 if self.platform.is_live else PARALLEL_DOWNLOADS) as pool:
            for remote_id, file in zip(remote_ids, files, strict=True):
                try:
                    begun.append(stop or self._download(pool, remote_id, rendition, file, accept))
                except (TransientError, CaptchaRequired) as trouble:
                    begun.append(trouble)
                    if isinstance(
                        trouble, CaptchaRequired | RateLimited
                    ):  # what has been begun is still brought to its end
                        stop = trouble
        results: list[str | Trouble] = []
        for each in begun:
            try:
                results.append(self._step(each) if callable(each) else each)
            except (TransientError, CaptchaRequired) as trouble:
                results.append(trouble)
        return results

    def _download(
        self, pool: Executor, remote_id: str, rendition: str, file: Path, accept: str | None
    ) -> Callable[[], str]:
        """Begin a download; return what waits for its end and gives its address without secrets."""
        pause_between_requests(self.platform)
        address = self._step(lambda: self.platform.address(self.page, remote_id, rendition))
        fetched = pool.submit(self.downloader.fetch, address, file, accept)
        if self.platform.is_live:
            self._step(fetched.result)

        def wait() -> str:
            fetched.result()
            return urlsplit(address)._replace(query="", fragment="").geturl()

        return wait

    def delete(self, remote_ids: Sequence[str], title: str) -> None:
        self._step(lambda: self.platform.delete(self.page, remote_ids, title))

    def keep_sign_in(self) -> None:
        """Store the sign-in as the site has renewed it, while it holds; else what is stored stays."""
        if self.platform.is_live and self.account and not self._signed_out_seen:
            with contextlib.suppress(PlaywrightError, UserError):  # the browser has ended, or the disk is full
                storage_state.save_sign_in(self.platform, self.context)

    def close(self) -> None:
        with self._watched(), contextlib.suppress(PlaywrightError):
            self.keep_sign_in()
            self.browser.close()

    def _renew(self) -> None:
        try:
            self._open()
        except PlaywrightError as error:
            raise TransientError(
                f"{self.platform.name}: the browser does not open the site. {redaction.describe_browser_error(error)}"
            ) from None

    def _open(self) -> None:
        """Open a context and sign in; a UserError when it can't be, or somebody else is signed in."""
        self.keep_sign_in()
        for context in self.browser.contexts:
            context.close()
        if not self.browser.is_connected():
            self.browser = launch_browser(self.playwright, self.platform)
        state = storage_state.stored_state(self.platform) if self.platform.is_live else None
        self.context = self.browser.new_context(storage_state=state, locale="en-US")
        self.context.set_default_timeout(STEP_TIMEOUT_MS if self.platform.is_live else SANDBOX_STEP_TIMEOUT_MS)
        self.context.add_init_script(responses.RECORDER_SCRIPT)
        self.page = self.context.new_page()
        if not self.platform.is_live:
            login.sign_in_locally(self.platform, self.page)
        account = self._account()
        if self.account not in ("", account):
            raise UserError(f"{self.platform.name}: somebody else is signed in now than before. Run again to go on.")
        self.account = account
        self.downloader = downloader(self.platform, self.page)
        self._trouble, self._steps, self._signed_out_seen = 0.0, 0, False

    def _account(self) -> str:
        try:
            return self._judged(lambda: self.platform.account(self.page))
        except NotSignedIn:
            raise (UserError if self.platform.is_live else TransientError)(self._signed_out) from None

    def _step(self, action: Callable[[], Result]) -> Result:
        try:
            with self._watched():
                if self._trouble >= MOST_TROUBLE or self._steps >= MOST_STEPS:
                    retry_read(self.platform, self._renew)
                answer = self._judged(action)
        except NotSignedIn:
            self._trouble = MOST_TROUBLE  # at the next step, _open says whether the sign-in still holds
            self._signed_out_seen = True
            raise TransientError(self._signed_out) from None
        except TransientError:
            self._trouble += 1
            raise
        self._trouble, self._steps = max(0.0, self._trouble - 0.5), self._steps + 1
        return answer

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """End the browser when a step hangs: Playwright waits for ever for some answers of a browser's."""
        timer = threading.Timer(HANG_TIMEOUT_S if self.platform.is_live else SANDBOX_HANG_TIMEOUT_S, end_browsers)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _judged(self, action: Callable[[], Result]) -> Result:
        """Do something with the page; say of what goes wrong what it means."""
        try:
            return action()
        except CaptchaRequired as error:
            raise CaptchaRequired(error.message + save_page(self.page, self.platform.name)) from None
        except PlaywrightError as error:
            raise self._explain(error) from None
        except OTHERWISE as error:
            if not ends_in_adapter(error):
                raise
            raise self._explain(error) from None

    @property
    def _signed_out(self) -> str:
        name = self.platform.name
        first = f"Run `comreadv login --platform {name}`, then" if self.platform.is_live else "Run"
        return f"{name}: nobody is signed in any more. {first} the same command again; what is done stays done."

    def _explain(self, error: Exception) -> UserError | NotSignedIn:
        name = self.platform.name
        if isinstance(error, PlaywrightError) and "has been closed" in error.message:
            self._trouble = MOST_TROUBLE
            return TransientError(f"{name}: the browser has ended. What is done stays done; run again to go on.")
        frames = adapter_frames(error)
        where = f"{frames[-1].name}, line {frames[-1].lineno}: {frames[-1].line}" if frames else "in the browser"
        if self.platform.is_for_guests(self.page.url):
            return NotSignedIn()
        try:
            check_marks(self.platform, self.page.url, _text(self.page))
        except RateLimited as turned_away:
            return turned_away
        except CaptchaRequired as challenged:
            return CaptchaRequired(challenged.message + save_page(self.page, name))
        if isinstance(error, PlaywrightError):
            what, why = "page", redaction.describe_browser_error(error)
        else:
            what, why = "answer", redaction.redact_message(f"{type(error).__name__}: {error}")
        kept = save_page(self.page, name)
        return PageChanged(
            f"{name}: the site's {what} is not as collect/platforms/{name}.py expects. Step: {where}. {why}{kept}"
        )


def _text(page: Page) -> str:
    try:
        return read_html(page)
    except PlaywrightError:
        return ""
