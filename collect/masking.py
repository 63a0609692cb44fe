"""Keep secrets out of what is shown and kept: signed addresses in messages, tokens in pages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

from playwright.sync_api import Error as PlaywrightError

SHORTEST = 8  # characters of a cookie's value; masking "1" or "en" would spoil a page and protect nobody
SHORTEST_AFTER_A_NAME = 4  # where a name and = or : stand before it
MASK = "[masked]"
QUERY = re.compile(r"(https?://[^\s?#\"'<>]+)\?[^\s\"'<>)\]]*")
HIDDEN = re.compile(r"<input\b[^>]*\btype=[\"']?hidden\b[^>]*>", re.IGNORECASE)
VALUE = re.compile(r"(\bvalue=\")[^\"]*")
NAMED = re.compile(r"([\w-]*(?:token|csrf|dtsg|secret)[\w-]*\\?[\"']?\s*[:=]\s*\\?[\"'])[^\"'\\]+", re.IGNORECASE)
SIGNATURE = re.compile(r"([?&;]\w+=)[\w%.~+/-]{24,}")  # a short value, such as a photo's number, is left


def public(text: str) -> str:
    """Cut the queries off the addresses in a text: they hold signatures and tickets."""
    return QUERY.sub(r"\1?" + MASK, text)


def reason(error: PlaywrightError) -> str:
    """Return what Playwright says went wrong, without its log of what it saw on the way."""
    return public(error.message.partition("\n")[0])


def masked(html: str, cookies: Iterable[str]) -> str:
    """Replace the secrets in a page: the values of cookies, of hidden fields, of what is named a token, signatures."""
    for value in cookies:
        if len(value) >= SHORTEST:
            html = html.replace(value, MASK).replace(quote(value, safe=""), MASK)
        elif len(value) >= SHORTEST_AFTER_A_NAME:  # such as Douban's ck, in links and fields
            html = re.sub(rf"([=:]\s*\\?[\"']?){re.escape(value)}(?![\w-])", rf"\1{MASK}", html)
    html = HIDDEN.sub(lambda field: VALUE.sub(r"\1" + MASK, field[0]), html)
    return SIGNATURE.sub(r"\1" + MASK, NAMED.sub(r"\1" + MASK, html))
