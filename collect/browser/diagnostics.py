"""What a page looked like when a step of an adapter failed on it, kept for whoever mends the adapter."""

from __future__ import annotations

import time
import traceback
from pathlib import Path

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page

from collect import redaction
from collect.browser import storage_state
from collect.browser.page import read_html
from params import UserError


def adapter_frames(error: Exception) -> list[traceback.FrameSummary]:
    """List the adapter's lines that an error passed, outermost first."""
    return [
        frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).parent.name == "platforms"
    ]


def ends_in_adapter(error: Exception) -> bool:
    """Tell whether an error was raised by an adapter's own line, not by something that it called."""
    return adapter_frames(error)[-1:] == list(traceback.extract_tb(error.__traceback__))[-1:]


def save_page(page: Page, name: str) -> str:
    """Save a page's screenshot and HTML, without tokens, for whoever mends the adapter; say where, or why not."""
    try:
        folder = storage_state.state_folder() / "failures"
        folder.mkdir(mode=0o700, exist_ok=True)
        stem = folder / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
        html, picture = stem.with_suffix(".html"), stem.with_suffix(".png")
        storage_state.write(html, _masked_text(page).encode())
        storage_state.write(picture, page.screenshot(timeout=5_000))
    except PlaywrightError:
        return f" The page's HTML: {html}; it gave no screenshot."
    except (UserError, OSError) as error:
        return f" The page could not be kept: {error}"
    return f" Screenshot and HTML: {picture}, {html}"


def _masked_text(page: Page) -> str:
    try:
        return redaction.redact_html(read_html(page), [cookie["value"] for cookie in page.context.cookies()])
    except PlaywrightError:
        return ""
