"""What the site answers to its own page's requests.

Chromium drops the body of an answer to a request that carried a file before Playwright can ask for it ("evicted
from inspector cache"), so the page itself keeps the text of every answer that its scripts read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page

from collect.platform import SignedOut
from params import UserError

KEEP = """
window.comreadvAnswers = [];
const open = XMLHttpRequest.prototype.open;
XMLHttpRequest.prototype.open = function (...rest) {
  this.addEventListener('loadend', () => {
    const text = typeof this.response === 'string' ? this.response : JSON.stringify(this.response);
    window.comreadvAnswers.push([this.responseURL, this.status, text]);
  });
  return open.apply(this, rest);
};
const ask = window.fetch;
window.fetch = async (...rest) => {
  const answer = await ask(...rest);
  answer.clone().text().then((text) => window.comreadvAnswers.push([answer.url, answer.status, text]));
  return answer;
};
"""
FIND = """([part, start]) => window.comreadvAnswers.slice(start).find(([url]) => url.includes(part))"""


@dataclass
class Answer:
    """An answer of the site, known once the `with` of expect_answer is left."""

    status: int = 0
    text: str = ""

    def json(self) -> dict[str, Any]:
        """Read the site's JSON object.

        Raises:
            SignedOut: the site asks who is there.
            UserError: the answer is no data, as when the site turns us away; nobody knows then what became of it.
        """
        if self.status in (401, 403):
            raise SignedOut
        try:
            content = json.loads(self.text)
        except ValueError:
            content = None
        if self.status != 200 or not isinstance(content, dict):
            raise UserError(
                f"The site answers with HTTP {self.status} and no data: it turns us away, or has changed."
                " Wait a while, then run again; what is done stays done."
            )
        return content


@contextmanager
def expect_answer(page: Page, part: str) -> Iterator[Answer]:
    """Wait, on leaving, for the answer to a request of the page whose address contains `part`."""
    start = page.evaluate("() => window.comreadvAnswers.length")
    answer = Answer()
    yield answer
    _, answer.status, answer.text = page.wait_for_function(FIND, arg=[part, start]).json_value()
