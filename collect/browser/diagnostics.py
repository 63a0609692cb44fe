"""What a failed step of an adapter means, and what its page looked like, kept for whoever mends the adapter."""

from __future__ import annotations

import time
import traceback
from pathlib import Path

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page

from collect import redaction
from collect.browser import storage_state
from collect.browser.blocking import check_marks
from collect.browser.page import read_html
from collect.errors import CaptchaRequired, NotSignedIn, PageChanged, RateLimited
from collect.files import write_atomically
from collect.platform import Site
from params import UserError


def explain_failure(site: Site, page: Page, error: PlaywrightError | PageChanged) -> Exception:
    """Return what it means that a step has failed on a page: it turns us away, nobody is signed in, or it has changed.

    The page is saved where a person has to look at it.
    """
    if site.is_for_guests(page.url):
        return NotSignedIn()
    try:
        check_marks(site, page.url, _read_html(page))
    except RateLimited as turned_away:
        return turned_away
    except CaptchaRequired as challenged:
        return CaptchaRequired(challenged.message + save_page(page, site.name))
    if isinstance(error, PageChanged):
        message, step = error.message, ""
    else:
        message = f"{site.name}: the site's page is not as collect/platforms/{site.name}.py expects."
        step = f" {redaction.describe_browser_error(error)}"
    return PageChanged(f"{message} Step: {_describe_step(error)}.{step}{save_page(page, site.name)}")


def adapter_frames(error: Exception) -> list[traceback.FrameSummary]:
    """List the adapter's lines that an error passed, outermost first."""
    return [
        frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).parent.name == "platforms"
    ]


def save_page(page: Page, name: str) -> str:
    """Save a page's screenshot and HTML, without tokens, for whoever mends the adapter; say where, or why not."""
    try:
        folder = storage_state.state_folder() / "failures"
        folder.mkdir(mode=0o700, exist_ok=True)
        stem = folder / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
        html, picture = stem.with_suffix(".html"), stem.with_suffix(".png")
        write_atomically(html, _redacted_html(page).encode(errors="replace"), mode=0o600)
        write_atomically(picture, page.screenshot(timeout=5_000), mode=0o600)
    except PlaywrightError:
        return f" The page's HTML: {html}; it gave no screenshot."
    except (UserError, OSError) as error:
        return f" The page could not be kept: {error}"
    return f" Screenshot and HTML: {picture}, {html}"


def _describe_step(error: Exception) -> str:
    frames = adapter_frames(error)
    return f"{frames[-1].name}, line {frames[-1].lineno}: {frames[-1].line}" if frames else "in the browser"


def _redacted_html(page: Page) -> str:
    try:
        return redaction.redact_html(read_html(page), [cookie["value"] for cookie in page.context.cookies()])
    except PlaywrightError:
        return ""


def _read_html(page: Page) -> str:
    try:
        return read_html(page)
    except PlaywrightError:
        return ""
