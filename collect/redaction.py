"""Keep secrets out of what is shown and kept: signed addresses in messages, tokens in pages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from playwright.sync_api import Error as PlaywrightError

MIN_SECRET_CHARS = 8  # characters of a cookie's value; masking "1" or "en" would spoil a page and protect nobody
MIN_NAMED_SECRET_CHARS = 4  # where a name and = or : stand before it
MASK = "[masked]"
URL_QUERY = re.compile(rf"(https?://[^\s?#\"'<>]+[?#])(?:{re.escape(MASK)})?(?:[^\s\"'<>)\]]|\](?=[=\[]))*")
HIDDEN_FIELD = re.compile(r"<input\b[^>]*\btype=[\"']?hidden\b[^>]*>", re.IGNORECASE)
VALUE_ATTRIBUTE = re.compile(r"(\bvalue=\")[^\"]*")
NAMED_SECRET = re.compile(r"((?:token|csrf|dtsg|secret)[\w-]{0,64}\\?[\"']?\s*[:=]\s*\\?[\"'])[^\"'\\]+", re.IGNORECASE)
# Also as JSON writes it, or an address within another. A short value, such as a photo's number, is left.
SIGNATURE = re.compile(r"((?:[?&;#]|\\u0026|%26|%3F|%23)\w+(?:=|\\u003d|%3D))[\w%.~+/-]{24,}", re.IGNORECASE)


def strip_query(address: str) -> str:
    """Cut the query and the fragment off an address: they hold signatures and tickets."""
    return re.split("[?#]", address, maxsplit=1)[0]


def redact_urls(text: str) -> str:
    """Cut the queries and fragments off the addresses in a text."""
    return URL_QUERY.sub(r"\1" + MASK, text)


def redact_message(message: str) -> str:
    """Mask the secrets in a site's own words, which may quote an address or a token."""
    return redact_html(redact_urls(message), ())


def describe_browser_error(error: PlaywrightError) -> str:
    """Return what Playwright says went wrong, without its log of what it saw on the way."""
    return redact_urls(error.message.partition("\n")[0])


def redact_html(html: str, cookies: Iterable[str]) -> str:
    """Replace the secrets in a page: the values of cookies, of hidden fields, of what is named a token, signatures."""
    for value in cookies:
        if len(value) >= MIN_SECRET_CHARS:
            html = html.replace(value, MASK).replace(quote(value, safe=""), MASK)
        elif len(value) >= MIN_NAMED_SECRET_CHARS:  # such as Douban's ck, in links and fields
            html = re.sub(rf"([=:]\s*\\?[\"']?){re.escape(value)}(?![\w-])", rf"\1{MASK}", html)
    html = HIDDEN_FIELD.sub(lambda field: VALUE_ATTRIBUTE.sub(r"\1" + MASK, field[0]), html)
    return SIGNATURE.sub(r"\1" + MASK, NAMED_SECRET.sub(r"\1" + MASK, html))
