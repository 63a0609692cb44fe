"""A platform in the browser, signed in: what a collector asks of it, and what becomes of it in trouble."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Playwright, sync_playwright

from collect import redaction
from collect.browser import login, storage_state
from collect.browser.context import open_context
from collect.browser.diagnostics import explain_failure, save_page
from collect.browser.downloader import Downloader
from collect.browser.launch import end_browsers, launch_browser
from collect.browser.session_health import SessionHealth
from collect.errors import CaptchaRequired, NotSignedIn, PageChanged, RateLimited, TransientError, Trouble
from collect.platform import Batch, Site
from collect.retry import pause_between_requests, retry_read
from params import UserError

HANG_TIMEOUT_S = 7200.0  # after which a browser is taken to hang in a step: an album may have a thousand pages
SANDBOX_HANG_TIMEOUT_S = 120.0
PARALLEL_DOWNLOADS = 4  # from a site on this computer
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
        self.health, self._signed_out_seen = SessionHealth(), False
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
                    if isinstance(trouble, CaptchaRequired | RateLimited):
                        stop = trouble  # what has been begun is still brought to its end
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
            return redaction.strip_query(address)

        return wait

    def delete(self, remote_ids: Sequence[str], title: str) -> None:
        self._step(lambda: self.platform.delete(self.page, remote_ids, title))

    def save_sign_in(self) -> None:
        """Store the sign-in as the site has renewed it, while it holds; else what is stored stays."""
        if self.platform.is_live and self.account and not self._signed_out_seen:
            with contextlib.suppress(PlaywrightError, UserError):  # the browser has ended, or the disk is full
                storage_state.save_state(self.platform, self.context.storage_state())

    def close(self) -> None:
        with self._watched(), contextlib.suppress(PlaywrightError):
            self.save_sign_in()
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
        self.save_sign_in()
        for context in self.browser.contexts:
            context.close()
        if not self.browser.is_connected():
            self.browser = launch_browser(self.playwright, self.platform)
        state = storage_state.stored_state(self.platform) if self.platform.is_live else None
        self.context = open_context(self.browser, self.platform, state)
        self.page = self.context.new_page()
        if not self.platform.is_live:
            login.sign_in_locally(self.platform, self.page)
        account = self._account()
        if self.account not in ("", account):
            raise UserError(f"{self.platform.name}: somebody else is signed in now than before. Run again to go on.")
        self.account = account
        self.downloader = Downloader.from_page(self.platform, self.page)
        self.health, self._signed_out_seen = SessionHealth(), False

    def _account(self) -> str:
        try:
            return self._explained(lambda: self.platform.account(self.page))
        except NotSignedIn:
            if self.platform.is_live:
                raise UserError(self._signed_out_message) from None
            raise TransientError(self._signed_out_message) from None

    def _step(self, action: Callable[[], Result]) -> Result:
        try:
            with self._watched():
                if not self.health.is_usable:
                    retry_read(self.platform, self._renew)
                answer = self._explained(action)
        except NotSignedIn:
            self.health.retire()  # at the next step, _open says whether the sign-in still holds
            self._signed_out_seen = True
            raise TransientError(self._signed_out_message) from None
        except TransientError:
            self.health.mark_bad()
            raise
        self.health.mark_good()
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

    def _explained(self, action: Callable[[], Result]) -> Result:
        """Do something with the page; say of what goes wrong what it means."""
        try:
            return action()
        except CaptchaRequired as error:
            raise CaptchaRequired(error.message + save_page(self.page, self.platform.name)) from None
        except (PlaywrightError, PageChanged) as error:
            raise self._explain(error) from None

    @property
    def _signed_out_message(self) -> str:
        name = self.platform.name
        first = f"Run `comreadv login --platform {name}`, then" if self.platform.is_live else "Run"
        return f"{name}: nobody is signed in any more. {first} the same command again; what is done stays done."

    def _explain(self, error: PlaywrightError | PageChanged) -> Exception:
        if isinstance(error, PlaywrightError) and "has been closed" in error.message:
            self.health.retire()
            return TransientError(
                f"{self.platform.name}: the browser has ended. What is done stays done; run again to go on."
            )
        return explain_failure(self.platform, self.page, error)
