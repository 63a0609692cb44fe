"""The one browser: find it or install it, start it and end it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Playwright, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from collect import masking
from collect.platform import Site
from params import UserError

SETTING = "COMREADV_BROWSER"
SHELL = "chromium-headless-shell"  # starts in a quarter of the time, and does a third less work for the same page
NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)


def find(playwright: Playwright, *, whole: bool = False) -> str | None:
    """Find a browser: the setting, then what is installed, then Playwright's own; None when there is none.

    The headless shell is preferred, unless `whole` asks for a browser that a person uses.
    """
    chosen = os.environ.get(SETTING)
    if chosen:
        if not shutil.which(chosen):
            raise UserError(f"{SETTING} names {chosen}, which is no program. Mend the setting or unset it.")
        return chosen
    own = Path(playwright.chromium.executable_path)
    shells = [SHELL, *map(str, own.parents[2].glob("chromium_headless_shell-*/*/*headless*shell"))]
    names = [*NAMES, str(own)] if whole else [*shells, *NAMES, str(own)]
    return next(filter(None, map(shutil.which, names)), None)


def install() -> str:
    """Find a browser or install one: Playwright's own, else Debian's when root. UserError when neither can be.

    Where only the headless shell is missing, and can't be had, another browser does.
    """
    commands = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if os.geteuid() == 0 and shutil.which("apt-get"):
        commands.append(["sh", "-c", f"apt-get update -qq && apt-get install -y -qq chromium {SHELL}"])
    for command in [[], *commands]:
        if command:
            print(f"No headless browser that starts yet: {command[-1]}", flush=True)
            with contextlib.suppress(subprocess.TimeoutExpired):  # the next one may be had
                subprocess.run(command, check=False, stdout=subprocess.DEVNULL, timeout=600)
        with sync_playwright() as playwright:
            path = find(playwright)
            if path and (SETTING in os.environ or "shell" in Path(path).name) and starts(playwright, path):
                return path
    with sync_playwright() as playwright:
        path = find(playwright, whole=True)
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
    """Start the browser: for a real site the one that a person signs in with; for a sandbox one that is cut off from
    the network.
    """
    path = find(playwright, whole=visible or platform.is_live)
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
        reason = masking.reason(error)
        raise UserError(f"The browser {path} does not start.{screen} {reason} Name another in {SETTING}.") from None


def end_browsers() -> None:
    """Kill the browsers that this process has started."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "chrom" in process.name() or "headless" in process.name():
                process.kill()


if __name__ == "__main__":
    try:
        print(f"Browser: {install()}")
    except UserError as error:
        sys.exit(f"Error: {error.message}")
