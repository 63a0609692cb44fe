"""What a failed step of an adapter tells whoever mends it."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Error as PlaywrightError

from collect import redaction
from collect.browser import storage_state
from collect.browser.blocking import check_marks
from collect.browser.diagnostics import adapter_frames, save_page
from collect.browser.page import read_html
from collect.doctor.checks import Checks, SiteChecks
from collect.errors import NotSignedIn, UploadRejected
from collect.platform import Site
from params import UserError

AWAITED_LOCATOR = re.compile(r"waiting for ((?:get_by_\w+|locator|frame_locator)\(.*)")


def describe_failure(error: Exception, checks: Checks) -> list[str]:
    """Say what went wrong, and then, a line each, where in the adapter, what was not found, what the page showed."""
    platform = checks.platform
    lines = [_describe_error(error, platform)]
    page = checks.page if isinstance(checks, SiteChecks) and checks.context and checks.context.pages else None
    if isinstance(error, PlaywrightError) and page and isinstance(platform, Site):
        try:
            check_marks(platform, page.url, read_html(page))
        except UserError as mark:  # no redesign: the page says that it turns us away, or asks for a person
            lines = [mark.message]
        except PlaywrightError:
            page = None  # it is gone
    for frame in adapter_frames(error)[-1:]:
        lines.append(
            f"in collect/platforms/{Path(frame.filename).name}, line {frame.lineno}, {frame.name}: {frame.line}"
        )
    if isinstance(error, PlaywrightError) and (found := AWAITED_LOCATOR.findall(error.message)):
        lines.append(f"found nothing: {redaction.redact_urls(found[-1].removesuffix(' to be visible'))}")
    if page and page.url != "about:blank":
        lines.append(f"on the page {redaction.redact_urls(page.url)}")
        lines.append(save_page(page, checks.name).strip())
    return lines


def _describe_error(error: Exception, platform: object) -> str:
    if isinstance(error, NotSignedIn):
        assert isinstance(platform, Site)
        mend = f" Run `{storage_state.login_command(platform)}`." if platform.is_live else ""
        return f"The site shows nobody signed in.{mend}"
    if isinstance(error, UploadRejected):
        return f"The site refuses the image: {error}"
    if isinstance(error, PlaywrightError):
        return redaction.describe_browser_error(error)
    if isinstance(error, UserError):
        return redaction.redact_urls(error.message)
    return redaction.redact_urls(f"{type(error).__name__}: {error}")
