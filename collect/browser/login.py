"""Sign-in: a person's, kept 0600 outside the repository, or the sandbox's one button."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, StorageState, TimeoutError
from playwright.sync_api import Error as PlaywrightError

from collect.browser import responses as answers
from collect.platform import PageChanged, SignedOut, Site
from collect.redaction import reason
from params import UserError, unwritable

LOOK_AGAIN = 10.0  # seconds between two looks whether the site shows the account
OTHERS = 0o077  # the bits of a mode by which others may do something


def state_folder() -> Path:
    """Make and return the folder for what is secret, 0700; a UserError when others could read it."""
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    folder = base / "comreadv"
    elsewhere = "Name another place in the environment variable XDG_STATE_HOME."
    for parent in folder.resolve().parents:
        if (parent / ".git").exists() and _holds_this_project(parent):
            raise UserError(f"{folder} would keep sign-ins in the git repository {parent}. {elsewhere}")
    if not folder.is_symlink():
        try:
            base.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder} can't be made: {error.strerror}. {elsewhere}") from None
    if not _is_ours_alone(folder):
        raise UserError(f"{folder} holds sign-ins and must be a folder of yours alone, and no link: chmod 700 {folder}")
    return folder


def _holds_this_project(folder: Path) -> bool:
    return any(each.is_relative_to(folder) for each in (Path(__file__).resolve(), Path.cwd().resolve()))


def _is_ours_alone(path: Path) -> bool:
    found = path.lstat()
    return not stat.S_ISLNK(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & OTHERS


def state_file(platform: Site) -> Path:
    """Name the file of a sign-in: one for the real site, another for each address that stands in for it."""
    where = f"-{urlsplit(platform.origin).netloc.replace(':', '-')}" if platform.origin else ""
    return state_folder() / f"{platform.name}{where}.json"


def stored_state(platform: Site) -> Path:
    """Return the file of a person's sign-in; a UserError when there is none, or others could have read it."""
    file = state_file(platform)
    if not (file.exists() or file.is_symlink()):
        raise UserError(f"Nobody has signed in to {platform.name} yet. Run `{login_command(platform)}`.")
    if not (_is_ours_alone(file) and file.is_file()):
        raise UserError(
            f"{file} is a link, or readable by others, so that its sign-in may be known to them. Sign out of"
            f" {platform.name} everywhere, delete the file, and run `{login_command(platform)}`."
        )
    return file


def login_command(platform: Site) -> str:
    """Spell the command by which a person signs in."""
    return f"comreadv login --platform {platform.name}" + f" --origin {platform.origin}" * bool(platform.origin)


def signed_in(platform: Site, context: BrowserContext) -> bool:
    """Tell whether the cookies are there that the site sets for somebody who is signed in."""
    return set(platform.cookie_names) <= {cookie.get("name") for cookie in context.cookies()}


def sign_in_here(platform: Site, page: Page) -> None:
    """Sign in to a site on this computer; a UserError when the origin is not that platform's."""
    context = page.context
    try:
        page.goto(platform.at(platform.login_url))
        platform.sign_in(page)
        end = time.monotonic() + 5
        while not signed_in(platform, context) and time.monotonic() < end:
            page.wait_for_timeout(20)
        with suppress(TimeoutError):  # the page that it leads to need not come whole
            page.wait_for_load_state("domcontentloaded", timeout=2_000)
    except PlaywrightError as error:
        raise UserError(
            f"{platform.name}: no sign-in at {platform.origin}, is its sandbox there? {reason(error)}"
        ) from None
    if not signed_in(platform, context):
        raise UserError(
            f"{platform.name}: signing in at {platform.origin} set no cookies {', '.join(platform.cookie_names)}."
            " Is that the sandbox of this platform?"
        )


def sign_in_by_hand(
    platform: Site, context: BrowserContext, account: Callable[[StorageState], str], *, minutes: float
) -> str:
    """Show the sign-in page, wait until a person is through, and keep the state; return the account.

    The cookies alone prove nothing, since some sites give guests the same ones: `account` tells whom the site shows
    to a sign-in, and is asked again while it says SignedOut or meets trouble. Raises UserError when nobody has signed
    in after so many minutes.
    """
    nobody = f"Nobody signed in to {platform.name}; nothing was saved."
    end = time.monotonic() + 60 * minutes
    next_look = 0.0
    try:
        context.new_page().goto(platform.at(platform.login_url))
        while True:
            if signed_in(platform, context) and time.monotonic() >= next_look:
                state = context.storage_state()
                try:
                    name = account(state)
                except SignedOut:
                    nobody = f"{platform.name} shows nobody signed in, though its cookies are there; nothing was saved."
                except UserError as error:
                    nobody = f"Nobody signed in to {platform.name}; nothing was saved. {error.message}"
                else:
                    keep(platform, state)
                    return name
                next_look = time.monotonic() + LOOK_AGAIN
            if time.monotonic() > end or not context.pages:
                raise UserError(nobody)
            context.pages[0].wait_for_timeout(500)
    except PlaywrightError as error:  # the window was closed, or there is no network
        raise UserError(f"{nobody} {reason(error)}") from None


def account_of(platform: Site, browser: Browser, state: StorageState | Path) -> str:
    """Return the public number of the account that the site shows to a sign-in; raise SignedOut when it shows none."""
    with browser.new_context(storage_state=state, locale="en-US") as context:
        context.add_init_script(answers.KEEP)
        try:
            account = platform.account(context.new_page())
        except PlaywrightError as error:
            raise PageChanged(
                f"{platform.name}: the page does not show who is signed in. {reason(error)} `comreadv doctor --platform"
                f" {platform.name}` keeps a picture of it."
            ) from None
    if not account:
        raise SignedOut
    return account


def check(platform: Site, browser: Browser) -> str:
    """Tell in a sentence whose the stored sign-in is and how old; a UserError when it does not hold."""
    file = stored_state(platform)
    stored = age(file)
    try:
        account = account_of(platform, browser, file)
    except SignedOut:
        raise UserError(
            f"The sign-in to {platform.name} that was stored {stored} does not hold any more. Run"
            f" `{login_command(platform)}`."
        ) from None
    return f"Signed in to {platform.name} as {account}; the sign-in was stored {stored}."


def age(file: Path) -> str:
    """Say how long ago a file was written: 3 days ago."""
    seconds = time.time() - file.stat().st_mtime
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' * (count > 1)} ago"
    return "less than a minute ago"


def store(platform: Site, context: BrowserContext) -> None:
    """Keep the sign-in of a browser's context."""
    keep(platform, context.storage_state())


def keep(platform: Site, state: StorageState) -> Path:
    """Keep a sign-in, readable by its owner alone; return its file."""
    file = state_file(platform)
    write(file, json.dumps(state).encode())
    return file


def write(file: Path, content: bytes) -> None:
    """Write a file that its owner alone can read, whole or not at all; a UserError when there is no room."""
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
            target.write(content)
        part.replace(file)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise unwritable(file, error) from None
