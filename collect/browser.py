"""The one browser: find it, open a platform in it signed in, and tell what a page looked like when a step failed."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from collect import answers, login
from collect.download import Downloader
from collect.platform import Batch, SignedOut, Site
from params import UserError

SETTING = "COMREADV_BROWSER"
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
TIMEOUT = 20_000  # milliseconds that a step may wait for its mark on the page
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)
Answer = TypeVar("Answer")


def find(playwright: Playwright) -> str | None:
    """Find a browser: the setting, then what is installed, then Playwright's own; None when there is none."""
    chosen = os.environ.get(SETTING)
    if chosen:
        if not shutil.which(chosen):
            raise UserError(f"{SETTING} names {chosen}, which is no program. Mend the setting or unset it.")
        return chosen
    for name in NAMES:
        if path := shutil.which(name):
            return path
    own = playwright.chromium.executable_path
    return own if Path(own).is_file() else None


def install() -> str:
    """Find a browser or install one: Playwright's own, else Debian's when root. UserError when neither can be."""
    commands = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if os.geteuid() == 0 and shutil.which("apt-get"):
        commands.append(["sh", "-c", "apt-get update -qq && apt-get install -y -qq chromium"])
    for command in [[], *commands]:
        if command:
            print(f"No browser that starts yet: {command[-1]}", flush=True)
            with contextlib.suppress(subprocess.TimeoutExpired):  # the next one may be had
                subprocess.run(command, check=False, stdout=subprocess.DEVNULL, timeout=600)
        with sync_playwright() as playwright:
            path = find(playwright)
            if path and starts(playwright, path):
                return path
    raise UserError(
        "There is no Chromium here, and none could be installed. Install one (Debian, Ubuntu: apt-get install"
        f" chromium), or name one in the environment variable {SETTING}."
    )


def starts(playwright: Playwright, path: str) -> bool:
    """Tell whether a browser starts: one that was downloaded may lack libraries, one on the path be a stub."""
    try:
        playwright.chromium.launch(executable_path=path, args=["--no-sandbox"]).close()
    except PlaywrightError:
        return False
    return True


def launch(playwright: Playwright, platform: Site, *, visible: bool = False) -> Browser:
    """Start the browser; one that talks to a sandbox can't reach the network."""
    path = find(playwright)
    if path is None:
        raise UserError(f"There is no Chromium here. Run `make setup`, or name one in {SETTING}.")
    arguments = [*QUIET]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium refuses its own sandbox to root
    if not platform.is_live:
        arguments.append("--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost")
    try:
        return playwright.chromium.launch(
            executable_path=path,
            args=arguments,
            headless=not visible,
            handle_sigint=False,  # Ctrl-C is ours to answer
        )
    except PlaywrightError as error:
        screen = " A visible browser needs a screen: run this where there is one." if visible else ""
        reason = error.message.partition("\n")[0]
        raise UserError(f"The browser {path} does not start.{screen} {reason} Name another in {SETTING}.") from None


@contextmanager
def open_session(platform: Site) -> Iterator[BrowserSession]:
    """Open a platform in a browser, signed in: at a sandbox by its button, else by the stored state."""
    state = login.stored_state(platform) if platform.is_live else None
    with sync_playwright() as playwright:
        browser = launch(playwright, platform)
        try:
            context = browser.new_context(storage_state=state, locale="en-US")
            context.set_default_timeout(TIMEOUT)
            if not platform.is_live:
                login.sign_in_to_sandbox(platform, context)
            yield BrowserSession(platform, context)
        finally:
            browser.close()


class BrowserSession:
    """A platform's pages, driven by its adapter; a step that fails leaves a screenshot and the page's HTML."""

    def __init__(self, platform: Site, context: BrowserContext) -> None:
        self.platform = platform
        context.add_init_script(answers.KEEP)
        self.page = context.new_page()
        self.account = self._step(lambda: platform.account(self.page))
        self.downloader = Downloader(
            cookies=context.cookies(),
            headers={
                "Referer": platform.at(platform.referer),
                "Accept": platform.accept,
                "User-Agent": self.page.evaluate("navigator.userAgent"),
            },
            proxies=platform.is_live,
        )
        self._next_batch = 0.0

    def upload(self, batch: Batch) -> list[str]:
        if self.platform.is_live:
            time.sleep(max(0.0, self._next_batch - time.monotonic()))
            self._next_batch = time.monotonic() + self.platform.interval
        return self._step(lambda: self.platform.upload(self.page, batch))

    def read_back(self, batch: Batch) -> dict[int, str]:
        return self._step(lambda: self._unless_blocked(self.platform.read_back(self.page, batch)))

    def download(self, remote_id: str, destination: Path) -> str:
        if self.platform.is_live:
            time.sleep(self.platform.pause)
        address = self._step(lambda: self.platform.address(self.page, remote_id))
        self.downloader.fetch(address, destination)
        return urlsplit(address)._replace(query="", fragment="").geturl()

    def _step(self, action: Callable[[], Answer]) -> Answer:
        try:
            return action()
        except SignedOut:
            raise UserError(self._signed_out) from None
        except PlaywrightError as error:
            raise UserError(self._explain(error)) from None

    def _unless_blocked(self, answer: Answer) -> Answer:
        """Pass an answer on, unless it was read off a page that turns us away."""
        if any(mark in self.page.url or mark in _text(self.page) for mark in self.platform.block_marks):
            raise UserError(f"{self._blocked}{keep_page(self.page, self.platform.name)}")
        return answer

    @property
    def _signed_out(self) -> str:
        name = self.platform.name
        first = f"Run `comreadv login --platform {name}`, then" if self.platform.is_live else "Run"
        return f"{name}: nobody is signed in any more. {first} the same command again; what is done stays done."

    @property
    def _blocked(self) -> str:
        return f"{self.platform.name}: the site turns us away for now (a block page). Wait some hours, then run again."

    def _explain(self, error: PlaywrightError) -> str:
        name = self.platform.name
        if "has been closed" in error.message:
            return f"{name}: the browser was closed. What is done stays done; run again to go on."
        where = next(
            (
                f"{frame.name}, line {frame.lineno}: {frame.line}"
                for frame in reversed(traceback.extract_tb(error.__traceback__))
                if Path(frame.filename).parent.name == "platforms"
            ),
            "in the browser",
        )
        if urlsplit(self.platform.login_url).path in self.page.url:
            return self._signed_out
        self._unless_blocked(None)
        kept = keep_page(self.page, name)
        reason = error.message.partition("\n")[0]
        return f"{name}: the site's page is not as collect/platforms/{name}.py expects. Step: {where}. {reason}{kept}"


def keep_page(page: Page, name: str) -> str:
    """Save a screenshot and the HTML of a page for whoever mends the adapter; say where they are."""
    folder = login.state_folder() / "failures"
    folder.mkdir(mode=0o700, exist_ok=True)
    stem = folder / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    html = stem.with_suffix(".html")
    html.touch(mode=0o600)  # a page holds tokens
    html.write_text(_text(page), encoding="utf-8")
    try:
        page.screenshot(path=stem.with_suffix(".png"), timeout=5_000)
    except PlaywrightError:
        return f" The page's HTML: {html}; it gave no screenshot."
    return f" Screenshot and HTML: {stem}.png, {html}"


def _text(page: Page) -> str:
    try:
        return page.content()
    except PlaywrightError:
        return ""


if __name__ == "__main__":
    try:
        print(f"Browser: {install()}")
    except UserError as error:
        sys.exit(f"Error: {error.message}")
