"""Sign-in: a person's in a visible browser, or by the button of a sandbox."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, StorageState, TimeoutError
from playwright.sync_api import Error as PlaywrightError

from collect.browser.context import open_context
from collect.browser.storage_state import describe_age, login_command, save_state, stored_state
from collect.errors import NotSignedIn, PageChanged
from collect.platform import Site
from collect.redaction import describe_browser_error
from params import UserError

ACCOUNT_CHECK_INTERVAL_S = 10.0  # between two looks whether the site shows the account


def has_sign_in_cookies(platform: Site, context: BrowserContext) -> bool:
    """Tell whether the cookies are there that the site sets for somebody who is signed in."""
    return set(platform.cookie_names) <= {cookie.get("name") for cookie in context.cookies()}


def sign_in_locally(platform: Site, page: Page) -> None:
    """Sign in to a site on this computer; a UserError when the origin is not that platform's."""
    context = page.context
    try:
        page.goto(platform.at(platform.login_url))
        platform.sign_in(page)
        end = time.monotonic() + 5
        while not has_sign_in_cookies(platform, context) and time.monotonic() < end:
            page.wait_for_timeout(20)
        with suppress(TimeoutError):  # the page that it leads to need not come whole
            page.wait_for_load_state("domcontentloaded", timeout=2_000)
    except PlaywrightError as error:
        raise UserError(
            f"{platform.name}: no sign-in at {platform.origin}, is its sandbox there? {describe_browser_error(error)}"
        ) from None
    if not has_sign_in_cookies(platform, context):
        raise UserError(
            f"{platform.name}: signing in at {platform.origin} set no cookies {', '.join(platform.cookie_names)}."
            " Is that the sandbox of this platform?"
        )


def sign_in_by_hand(
    platform: Site, context: BrowserContext, account: Callable[[StorageState], str], *, minutes: float
) -> str:
    """Show the sign-in page, wait until a person is through, and keep the state; return the account.

    The cookies alone prove nothing, since some sites give guests the same ones: `account` tells whom the site shows
    to a sign-in, and is asked again while it says NotSignedIn or meets trouble. Raises UserError when nobody has signed
    in after so many minutes.
    """
    nobody = f"Nobody signed in to {platform.name}; nothing was saved."
    end = time.monotonic() + 60 * minutes
    next_check = 0.0
    try:
        context.new_page().goto(platform.at(platform.login_url))
        while True:
            if has_sign_in_cookies(platform, context) and time.monotonic() >= next_check:
                state = context.storage_state()
                try:
                    name = account(state)
                except NotSignedIn:
                    nobody = f"{platform.name} shows nobody signed in, though its cookies are there; nothing was saved."
                except UserError as error:
                    nobody = f"Nobody signed in to {platform.name}; nothing was saved. {error.message}"
                else:
                    save_state(platform, state)
                    return name
                next_check = time.monotonic() + ACCOUNT_CHECK_INTERVAL_S
            if time.monotonic() > end or not context.pages:
                raise UserError(nobody)
            context.pages[0].wait_for_timeout(500)
    except PlaywrightError as error:  # the window was closed, or there is no network
        raise UserError(f"{nobody} {describe_browser_error(error)}") from None


def read_account(platform: Site, browser: Browser, state: StorageState | Path) -> str:
    """Return the public number of the account that the site shows to a sign-in; raise NotSignedIn for none."""
    with open_context(browser, platform, state) as context:
        try:
            account = platform.account(context.new_page())
        except PlaywrightError as error:
            raise PageChanged(
                f"{platform.name}: the page does not show who is signed in. {describe_browser_error(error)}"
                f" `comreadv doctor --platform {platform.name}` keeps a picture of it."
            ) from None
    if not account:
        raise NotSignedIn
    return account


def check_sign_in(platform: Site, browser: Browser) -> str:
    """Tell in a sentence whose the stored sign-in is and how old; a UserError when it does not hold."""
    file = stored_state(platform)
    stored = describe_age(file)
    try:
        account = read_account(platform, browser, file)
    except NotSignedIn:
        raise UserError(
            f"The sign-in to {platform.name} that was stored {stored} does not hold any more. Run"
            f" `{login_command(platform)}`."
        ) from None
    return f"Signed in to {platform.name} as {account}; the sign-in was stored {stored}."
