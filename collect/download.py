"""Download what a platform serves, byte for byte, and let nothing else pass for it."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from PIL import Image
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from params import UserError

LARGEST = 64 * 1024 * 1024  # bytes
TIMEOUT = (10, 60)  # seconds to connect, and between two reads


class Downloader:
    """A requests session with the browser's cookies and headers; reads are retried, with the site's Retry-After."""

    def __init__(
        self, *, cookies: Iterable[Mapping[str, Any]], headers: Mapping[str, str], proxies: bool = True
    ) -> None:
        self.session = requests.Session()
        self.session.trust_env = proxies  # a proxy of the environment's knows no sandbox
        self.session.headers.update(headers)
        for cookie in cookies:
            self.session.cookies.set(
                cookie["name"], cookie["value"], domain=cookie["domain"], path=cookie.get("path", "/")
            )
        retry = Retry(
            total=4,
            backoff_factor=0.5,
            status_forcelist=(418, 429, 500, 502, 503, 504),
            raise_on_status=False,
        )
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, HTTPAdapter(max_retries=retry))

    def fetch(self, address: str, destination: Path) -> None:
        """Download to `destination` through a .part file; a UserError tells what came instead of an image."""
        public = urlsplit(address)._replace(query="", fragment="").geturl()
        try:
            body = self._body(address)
        except requests.RequestException as error:
            # The exception's own text holds the address with its signature.
            what = f"HTTP {error.response.status_code}" if error.response is not None else type(error).__name__
            raise UserError(f"{public}: no download ({what}). Run again to go on.") from None
        if problem := body_problem(body):
            raise UserError(f"{public}: {problem}. Run again to go on; if it stays, the adapter wants mending.")
        part = destination.with_name(destination.name + ".part")
        part.write_bytes(body)
        part.replace(destination)

    def _body(self, address: str) -> bytes:
        with self.session.get(address, timeout=TIMEOUT, stream=True) as answer:
            answer.raise_for_status()
            body = b""
            for chunk in answer.iter_content(1 << 16):
                body += chunk
                if len(body) > LARGEST:
                    break
            return body


def body_problem(body: bytes) -> str | None:
    """Say why a body is no image that can be decoded whole; None when it is one."""
    if not body:
        return "an empty answer instead of an image"
    if len(body) > LARGEST:
        return f"more than {LARGEST >> 20} MB"
    if body.lstrip()[:1] == b"<":
        return "a page instead of an image"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(body)) as image:
                image.load()
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombWarning,
        Image.DecompressionBombError,
    ) as error:
        return f"not an image that can be decoded ({error})"
    return None
