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
from urllib.parse import urlsplit

from playwright.sync_api import Page

from collect.platform import Interrupted, SignedOut, TurnedAway
from collect.visits import check, check_marks, text, value

if TYPE_CHECKING:
    from collect.platform import Site

KEEP = """
window.comreadvAnswers = [];
const keep = (asked, status, text, retry, where) =>
  window.comreadvAnswers.push([String(asked), status, text, retry, where]);
const open = XMLHttpRequest.prototype.open;
XMLHttpRequest.prototype.open = function (method, url, ...rest) {
  this.addEventListener('loadend', () => {
    const text = typeof this.response === 'string' ? this.response : JSON.stringify(this.response);
    keep(url, this.status, text, this.getResponseHeader('Retry-After'), this.responseURL);
  });
  return open.call(this, method, url, ...rest);
};
const ask = window.fetch;
window.fetch = async (...rest) => {
  const asked = rest[0] instanceof Request ? rest[0].url : rest[0];
  const cut = () => keep(asked, 0, '', null, '');
  try {
    const answer = await ask(...rest);
    answer.clone().text().then(
      (text) => keep(asked, answer.status, text, answer.headers.get('Retry-After'), answer.url), cut);
    return answer;
  } catch (error) {
    cut();
    throw error;
  }
};
"""
FIND = """([part, start, path]) =>
  window.comreadvAnswers.slice(start).find(([asked]) => asked.includes(part))
  || (location.pathname !== path && document.readyState === 'complete' ? 'gone' : null)"""


@dataclass
class Answer:
    """An answer of the site, known once the `with` of expect_answer is left; status 0: the connection was cut."""

    site: Site
    status: int = 0
    text: str = ""
    retry_after: str | None = None
    where: str = ""  # the address that answered, after redirects

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
        check(self.site, self.status, self.where, self.retry_after)
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
def expect_answer(site: Site, page: Page, part: str) -> Iterator[Answer]:
    """Wait, on leaving, for the answer to a request of the page whose address contains `part`."""
    start, path = value(page, "[window.comreadvAnswers.length, location.pathname]")
    answer = Answer(site)
    yield answer
    found = page.wait_for_function(FIND, arg=[part, start, path]).json_value()
    if found == "gone":
        if urlsplit(site.login_url).path in page.url:
            raise SignedOut
        check_marks(site, page.url, text(page))
        raise Interrupted(f"{site.name}: the page went away to {urlsplit(page.url).path} before the site answered.")
    _, answer.status, answer.text, answer.retry_after, answer.where = found
