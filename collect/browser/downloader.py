"""Download what a platform serves, byte for byte, and let nothing else pass for it."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from PIL import Image

from collect.browser.blocking import check_marks, check_status
from collect.browser.page import evaluate
from collect.errors import AddressExpired, TransientError
from collect.images import FORMATS, Unusable, decoding
from collect.redaction import strip_query
from collect.retry import backoff_seconds
from params import unwritable

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from collect.platform import Site

MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_PIXELS = 80_000_000  # Pillow warns above 89 million, and refuses twice as many
TIMEOUTS_S = (10, 60)  # to connect, and between two reads
MAX_ATTEMPTS = 5
MAX_PAGE_BYTES = 100_000  # of a page, that are looked at
HTML_PAGE = "a page instead of an image"


class Downloader:
    """A requests session with the browser's cookies and headers."""

    def __init__(self, site: Site, *, cookies: Iterable[Mapping[str, Any]], headers: Mapping[str, str]) -> None:
        self.site = site
        self.session = requests.Session()
        self.session.trust_env = site.is_live  # a proxy of the environment's knows no sandbox
        self.session.headers.update(headers)
        for cookie in cookies:
            about = {"domain": cookie["domain"], "path": cookie.get("path", "/"), "secure": cookie.get("secure", False)}
            self.session.cookies.set(cookie["name"], cookie["value"], **about)

    @classmethod
    def from_page(cls, site: Site, page: Page) -> Downloader:
        """Make one that downloads as the page's browser would."""
        headers = {
            "Referer": site.at(site.referer),
            "Accept": site.accept,
            "User-Agent": evaluate(page, "navigator.userAgent"),
        }
        return cls(site, cookies=page.context.cookies(), headers=headers)

    def fetch(self, address: str, destination: Path, accept: str | None = None) -> None:
        """Download to `destination` through a .part file, which the next attempt goes on from.

        A passing fault is tried again, after what the site asks for (Retry-After). Raises TransientError with what
        came instead of an image, RateLimited, CaptchaRequired, and UserError where the disk has no room.

        Args:
            accept: the header of that name; None: the browser's.
        """
        part = destination.with_name(destination.name + ".part")
        public = strip_query(address)
        for failures in range(1, MAX_ATTEMPTS + 1):
            try:
                self._fetch(address, public, part, accept)
                part.replace(destination)
                return
            except TransientError as trouble:
                wait = backoff_seconds(trouble, failures, live=self.site.is_live)
                if failures == MAX_ATTEMPTS or wait > TIMEOUTS_S[1] or isinstance(trouble, AddressExpired):
                    raise
                time.sleep(wait)
            except OSError as error:
                _remove(part)
                raise unwritable(destination, error) from None

    def _fetch(self, address: str, public: str, part: Path, accept: str | None) -> None:
        try:
            retry_after = self._receive(address, public, part, {"Accept": accept} if accept else {})
        except requests.RequestException as error:  # whose own text holds the address with its signature
            raise TransientError(f"{public}: the download was cut off ({type(error).__name__}).") from None
        if problem := find_body_problem(part.read_bytes()):
            body = part.read_bytes()[:MAX_PAGE_BYTES].decode(errors="replace")
            part.unlink()
            check_marks(self.site, "", body if problem == HTML_PAGE else "", retry_after)
            raise TransientError(f"{public}: {problem}.")

    def _receive(self, address: str, public: str, part: Path, headers: Mapping[str, str]) -> str | None:
        """Write the body to `part`, or the rest of it to what is there, if that is of the very same file.

        Returns the answer's Retry-After.
        """
        tag = _etag_file(part)
        here = part.stat().st_size if part.exists() and tag.exists() else 0
        asked = {"Range": f"bytes={here}-", "If-Range": tag.read_text(encoding="utf-8")} if here else {}
        with self.session.get(address, timeout=TIMEOUTS_S, stream=True, headers={**headers, **asked}) as answer:
            retry_after: str | None = answer.headers.get("Retry-After")
            check_status(self.site, answer.status_code, answer.url, retry_after)
            if answer.status_code >= 400:
                body = next(answer.iter_content(MAX_PAGE_BYTES), b"").decode(errors="replace")
                check_marks(self.site, "", body, retry_after)
                if answer.status_code == 416:
                    _remove(part)
                message = f"{public}: no download (HTTP {answer.status_code})."
                raise AddressExpired(message) if answer.status_code in (403, 404, 410) else TransientError(message)
            rest = answer.status_code == 206
            if rest and not (here and answer.headers.get("Content-Range", "").startswith(f"bytes {here}-")):
                _remove(part)
                raise TransientError(f"{public}: another part of the file than was asked for.")
            if not rest:
                tag.unlink(missing_ok=True)
            with part.open("ab" if rest else "wb") as file:
                etag = answer.headers.get("ETag", "")
                if etag.startswith('"') and "Content-Encoding" not in answer.headers:  # else bytes can't be counted on
                    tag.write_text(etag, encoding="utf-8")
                for chunk in answer.iter_content(1 << 16):
                    file.write(chunk)
                    if file.tell() > MAX_FILE_BYTES:
                        break
        tag.unlink(missing_ok=True)
        return retry_after


def _etag_file(part: Path) -> Path:
    """Name the file that keeps the ETag of what a part is of."""
    return part.with_name(part.name + ".tag")


def _remove(part: Path) -> None:
    part.unlink(missing_ok=True)
    _etag_file(part).unlink(missing_ok=True)


def find_body_problem(body: bytes) -> str | None:
    """Say why a body is no image that can be decoded whole; None when it is one."""
    if not body:
        return "an empty answer instead of an image"
    if len(body) > MAX_FILE_BYTES:
        return f"more than {MAX_FILE_BYTES >> 20} MB"
    if body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        return HTML_PAGE
    try:
        with decoding(), Image.open(io.BytesIO(body), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                return f"more than {MAX_PIXELS:,} pixels"
            image.load()
    except Unusable as error:
        return f"not an image that can be decoded ({error})"
    return None
