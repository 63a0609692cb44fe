"""The one browser: find it or install it, start it and end it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Playwright
from playwright.sync_api import Error as PlaywrightError

from collect import redaction
from collect.platform import Site
from params import UserError

BROWSER_VARIABLE = "COMREADV_BROWSER"
HEADLESS_SHELL = "chromium-headless-shell"  # starts in less than half the time, for a third less work a page
BROWSER_NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET_FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)


def find_browsers(playwright: Playwright, *, whole: bool) -> list[str]:
    """List the browsers that are here, the best first; of one kind, what is installed before Playwright's own.

    Args:
        whole: only browsers that a person uses, with windows; else a headless shell comes first.
    """
    chosen = os.environ.get(BROWSER_VARIABLE)
    if chosen:
        if not shutil.which(chosen):
            raise UserError(f"{BROWSER_VARIABLE} names {chosen}, which is no program. Mend the setting or unset it.")
        return [chosen]
    own = playwright.chromium.executable_path  # …/chromium-1234/chrome-linux/chrome
    shells = Path(re.sub(r"/chromium-(\d+)/.*", r"/chromium_headless_shell-\1", own) or "-").glob("*/*headless*shell")
    names = [] if whole else [HEADLESS_SHELL, *map(str, shells)]
    return list(filter(None, map(shutil.which, [*names, *BROWSER_NAMES, own])))


def launch_browser(playwright: Playwright, platform: Site, *, visible: bool = False) -> Browser:
    """Start a browser: for a real site the one that a person signs in with, for a sandbox one without the network."""
    return launch_browser_at(playwright, platform, visible=visible)[0]


def launch_browser_at(playwright: Playwright, platform: Site, *, visible: bool = False) -> tuple[Browser, str]:
    """Start a browser, as `launch_browser` does; return where it is too."""
    whole = visible or platform.is_live
    paths = find_browsers(playwright, whole=whole)
    if not paths:
        what = "Chromium with windows, which a real site and signing in need," if whole else "Chromium"
        raise UserError(f"There is no {what} here. Run `python -m collect.browser`, or name one in {BROWSER_VARIABLE}.")
    if visible and "headless" in Path(paths[0]).name:
        raise UserError(f"{BROWSER_VARIABLE} names {paths[0]}, which has no windows. Name another, or unset it.")
    arguments = [*QUIET_FLAGS]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium refuses its own sandbox to root
    if not platform.is_live:
        arguments.append("--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost")
    failed = ""
    for path in paths[:1] if platform.is_live else paths:  # a real site is to see one and the same
        try:
            browser = playwright.chromium.launch(
                executable_path=path,
                args=arguments,
                headless=not visible,
                handle_sigint=False,  # Ctrl-C is ours to answer
            )
        except PlaywrightError as error:
            failed = failed or f"The browser {path} does not start. {redaction.describe_browser_error(error)}"
        else:
            return browser, path
    screen = " A visible browser needs a screen: run this where there is one." if visible else ""
    raise UserError(f"{failed}{screen} Name another in {BROWSER_VARIABLE}.")


def end_browsers() -> None:
    """Kill the browsers that this process has started."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "chrom" in process.name() or "headless" in process.name():
                process.kill()
