"""Sign-in: a person's, kept 0600 outside the repository, or the sandbox's one button."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

from playwright.sync_api import BrowserContext
from playwright.sync_api import Error as PlaywrightError

from collect.platform import Site
from params import UserError


def state_folder() -> Path:
    """Make and return the folder for what is secret, 0700; a UserError when others could read it."""
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    folder = base / "comreadv"
    base.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or stat.S_IMODE(folder.stat().st_mode) & 0o077:
        raise UserError(f"{folder} holds sign-ins and must be a folder of yours alone: chmod 700, and no link.")
    return folder


def stored_state(platform: Site) -> Path:
    """Return the file of a person's sign-in; a UserError when there is none."""
    file = state_folder() / f"{platform.name}.json"
    if not file.is_file():
        raise UserError(
            f"Nobody has signed in to {platform.name} yet. Run `comreadv login --platform {platform.name}`."
        )
    return file


def signed_in(platform: Site, context: BrowserContext) -> bool:
    """Tell whether the cookies are there that the site sets for somebody who is signed in."""
    return set(platform.cookie_names) <= {cookie.get("name") for cookie in context.cookies()}


def sign_in_here(platform: Site, context: BrowserContext) -> None:
    """Sign in to a site on this computer; a UserError when the origin is not that platform's."""
    page = context.new_page()
    try:
        page.goto(platform.at(platform.login_url))
        platform.sign_in(page)
        end = time.monotonic() + 5
        while not signed_in(platform, context) and time.monotonic() < end:
            page.wait_for_timeout(20)
    except PlaywrightError as error:
        reason = error.message.partition("\n")[0]
        raise UserError(f"{platform.name}: no sign-in at {platform.origin}, is its sandbox there? {reason}") from None
    if not signed_in(platform, context):
        raise UserError(
            f"{platform.name}: signing in at {platform.origin} set no cookies {', '.join(platform.cookie_names)}."
            " Is that the sandbox of this platform?"
        )
    page.close()


def sign_in_by_hand(platform: Site, context: BrowserContext, *, minutes: float) -> Path:
    """Show the sign-in page, wait until a person is through, and keep the state; return its file.

    Raises UserError when nobody has signed in after so many minutes.
    """
    nobody = f"Nobody signed in to {platform.name}; nothing was saved."
    end = time.monotonic() + 60 * minutes
    try:
        context.new_page().goto(platform.at(platform.login_url))
        while not signed_in(platform, context):
            if time.monotonic() > end or not context.pages:
                raise UserError(nobody)
            context.pages[0].wait_for_timeout(500)
    except PlaywrightError as error:  # the window was closed, or there is no network
        reason = error.message.partition("\n")[0]
        raise UserError(f"{nobody} {reason}") from None
    return store(platform, context)


def store(platform: Site, context: BrowserContext) -> Path:
    """Keep a sign-in, readable by its owner alone; return its file."""
    file = state_folder() / f"{platform.name}.json"
    part = file.with_suffix(".part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)
    context.storage_state(path=part)
    part.replace(file)
    return file
