"""What the site answers to its own page's requests.

Chromium drops the body of an answer to a request that carried a file before Playwright can ask for it ("evicted
from inspector cache"), so the page itself keeps the text of every answer that its scripts read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from playwright.sync_api import Page

from collect.platform import Interrupted, SignedOut, TurnedAway
from collect.visits import check, check_marks

if TYPE_CHECKING:
    from collect.platform import Site

KEEP = """
window.comreadvAnswers = [];
const keep = (url, status, text, retry) => window.comreadvAnswers.push([url, status, text, retry]);
const open = XMLHttpRequest.prototype.open;
XMLHttpRequest.prototype.open = function (method, url, ...rest) {
  this.addEventListener('loadend', () => {
    const text = typeof this.response === 'string' ? this.response : JSON.stringify(this.response);
    keep(this.responseURL || String(url), this.status, text, this.getResponseHeader('Retry-After'));
  });
  return open.call(this, method, url, ...rest);
};
const ask = window.fetch;
window.fetch = async (...rest) => {
  const cut = () => keep(rest[0] instanceof Request ? rest[0].url : String(rest[0]), 0, '', null);
  try {
    const answer = await ask(...rest);
    answer.clone().text().then(
      (text) => keep(answer.url, answer.status, text, answer.headers.get('Retry-After')), cut);
    return answer;
  } catch (error) {
    cut();
    throw error;
  }
};
"""
FIND = """([part, start, count]) => {
  const found = window.comreadvAnswers.slice(start).filter(([url]) => url.includes(part));
  return found.length >= count || found.some(([, status]) => status !== 200) ? found : null;
}"""


@dataclass
class Answer:
    """An answer of the site, known once the `with` of expect_answer is left; status 0: the connection was cut."""

    site: Site
    status: int = 0
    text: str = ""
    retry_after: str | None = None

    def json(self) -> dict[str, Any]:
        """Read the site's JSON object.

        Raises:
            SignedOut: the site asks who is there.
            Interrupted: the answer is none, or no data; nobody knows then what became of the request.
            Challenged: the site wants to see a person.
        """
        if self.status in (401, 403):
            raise SignedOut
        if self.status == 0:
            raise Interrupted(f"{self.site.name}: the connection was cut while the site answered.")
        check(self.site, self.status, "", self.retry_after)
        try:
            content = json.loads(self.text)
        except ValueError:
            content = None
        if self.status != 200 or not isinstance(content, dict):
            check_marks(self.site, "", self.text)
            raise TurnedAway(
                f"{self.site.name}: the site answers with HTTP {self.status} and no data: it turns us away, or has"
                " changed."
            )
        return content


@contextmanager
def expect_answers(site: Site, page: Page, part: str, count: int) -> Iterator[list[Answer]]:
    """Wait, on leaving, for so many answers to requests of the page whose address contains `part`, in their order.

    The first that is not HTTP 200 ends the wait, so there may be fewer.
    """
    start = page.evaluate("() => window.comreadvAnswers.length")
    answers: list[Answer] = []
    yield answers
    found = page.wait_for_function(FIND, arg=[part, start, count]).json_value()
    answers.extend(Answer(site, status, text, retry) for _, status, text, retry in found)


@contextmanager
def expect_answer(site: Site, page: Page, part: str) -> Iterator[Answer]:
    """Wait, on leaving, for the answer to a request of the page whose address contains `part`."""
    answer = Answer(site)
    with expect_answers(site, page, part, 1) as answers:
        yield answer
    answer.status, answer.text, answer.retry_after = answers[0].status, answers[0].text, answers[0].retry_after
