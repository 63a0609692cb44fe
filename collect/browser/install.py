"""Find a browser that starts, or install one: Playwright's own, or Debian's for root."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Playwright, sync_playwright

from collect.browser.launch import BROWSER_VARIABLE, HEADLESS_SHELL, find_browsers
from params import UserError


def install_browser() -> str:
    """Find or install a browser, and its headless shell where that can be had; return what sandboxes are driven by.

    Playwright has both, and Debian for root. UserError when there is no browser and none can be installed.
    """
    playwright_has = [sys.executable, "-m", "playwright", "install", "chromium"]
    if not _first_that_starts(whole=True):
        _install("browser", [playwright_has, _debian_has("chromium")], whole=True)
    path = _first_that_starts(whole=False)
    if path and "headless" not in Path(path).name and not os.environ.get(BROWSER_VARIABLE):
        path = _install("headless shell", [[*playwright_has, "--only-shell"], _debian_has(HEADLESS_SHELL)], whole=False)
    if path:
        return path
    raise UserError(
        "There is no Chromium here, and none could be installed. Install one (Debian, Ubuntu: apt-get install"
        f" chromium), or name one in the environment variable {BROWSER_VARIABLE}."
    )


def _debian_has(package: str) -> list[str]:
    return ["sh", "-c", f"apt-get update -qq; apt-get install -y -qq {package}"]


def _install(what: str, commands: Sequence[list[str]], *, whole: bool) -> str | None:
    """Run commands until there is another browser that starts than before; return what there is then."""
    before = path = _first_that_starts(whole=whole)
    for command in commands:
        if command[0] == "sh" and (os.geteuid() != 0 or not shutil.which("apt-get")):
            continue
        print(f"No {what} yet. Trying: {' '.join(command)}", flush=True)
        with contextlib.suppress(subprocess.TimeoutExpired):  # the next one may be had
            subprocess.run(command, check=False, stdout=subprocess.DEVNULL, timeout=600)
        if (path := _first_that_starts(whole=whole)) != before:
            break
    return path


def _first_that_starts(*, whole: bool) -> str | None:
    with sync_playwright() as playwright:
        return next((path for path in find_browsers(playwright, whole=whole) if starts(playwright, path)), None)


def starts(playwright: Playwright, path: str) -> bool:
    """Tell whether a browser starts: one that was downloaded may lack libraries, one on the path be a stub."""
    try:
        playwright.chromium.launch(executable_path=path, args=["--no-sandbox"]).close()
    except PlaywrightError:
        return False
    return True


def main() -> None:
    """Install a browser and print where it is; exit with what to do where that can't be."""
    try:
        print(f"Browser: {install_browser()}")
    except UserError as error:
        sys.exit(f"Error: {error.message}")
