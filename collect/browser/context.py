"""The context in which a browser shows a site: its sign-in, its language, its time for a step, the recorder."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, StorageState

from collect.browser.recorder import RECORDER_SCRIPT
from collect.platform import Site

STEP_TIMEOUT_MS = 20_000  # that a step may wait for its mark on the page
SANDBOX_STEP_TIMEOUT_MS = 8_000


def open_context(browser: Browser, site: Site, sign_in: StorageState | Path | None = None) -> BrowserContext:
    """Open a context with a stored sign-in, or with none yet."""
    context = browser.new_context(storage_state=sign_in, locale="en-US")
    context.set_default_timeout(STEP_TIMEOUT_MS if site.is_live else SANDBOX_STEP_TIMEOUT_MS)
    context.add_init_script(RECORDER_SCRIPT)
    return context
