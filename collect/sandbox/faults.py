"""The faults that a sandbox can be asked for: their names, their rates, and when they strike."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

from params import UserError

ALL_FAULTS = "all"
FAULTS = {
    "latency": "the answer comes 0.2 to 0.5 seconds late",
    "error-before": "502 or 503, and nothing was done",
    "error-after": "502 or 503 for a POST that was carried out",
    "cut": "the connection is closed in the middle of the answer's body",
    "busy": "418, or 429 with Retry-After: 1, and nothing was done",
    "captcha": "a page that asks for a captcha with HTTP 200, and nothing was done",
    "block": "the page by which the site turns somebody away with HTTP 200, and nothing was done",
    "expiry": "the session ends before the request is handled",
    "reordered": "the photos of a page of an album come in random order",
    "duplicate": "a page of an album shows one of its photos twice",
    "wrong": "a file is another photo's",
    "truncated": "half a file, as a whole answer",
    "expired": "403 for a file, as when its address is too old",
    "watermark": "a stamp on a photo's files, for ever",
}
Item = TypeVar("Item")


class Faults:
    """Faults at rates of 0 to 1, where "all" stands for those without a rate of their own.

    Each fault has a random generator of its own, so that its draws depend on the seed and on the requests that
    it can strike, and not on the other faults. `without`: faults that the site does not know. Raises UserError
    for an unknown name, a rate out of bounds, or a rate for a fault that the site does not know.
    """

    def __init__(self, rates: Mapping[str, float] | None = None, seed: int = 0, without: Collection[str] = ()) -> None:
        given, known = dict(rates or {}), [name for name in FAULTS if name not in without]
        for name, rate in given.items():
            if name != ALL_FAULTS and name not in known:
                raise UserError(f"This sandbox has no fault {name!r}. There are: {', '.join([ALL_FAULTS, *known])}.")
            if not 0 <= rate <= 1:
                raise UserError(f"The fault {name} has the rate {rate:g}: give one from 0 to 1.")
        self.seed = seed
        self.rates = {name: given.get(name, given.get(ALL_FAULTS, 0.0)) for name in known}
        self.random = {name: random.Random(f"{seed} {name}") for name in FAULTS}

    def __bool__(self) -> bool:
        return any(self.rates.values())

    def strikes(self, name: str) -> bool:
        """Draw whether a fault strikes this time."""
        return self.random[name].random() < self.rates.get(name, 0.0)

    def has_watermark(self, photo: str) -> bool:
        """Tell whether the photo of that name gets a watermark."""
        return random.Random(f"{self.seed} watermark {photo}").random() < self.rates.get("watermark", 0.0)

    def choice(self, name: str, among: Sequence[Item]) -> Item:
        return self.random[name].choice(among)

    def spoil_page(self, page: Sequence[Item]) -> list[Item]:
        """Return a page of an album as it is shown: every photo, maybe out of order, maybe one of them twice."""
        shown = list(page)
        if self.strikes("reordered"):
            self.random["reordered"].shuffle(shown)
        if self.strikes("duplicate") and shown:
            shown.insert(self.random["duplicate"].randint(0, len(shown)), self.choice("duplicate", shown))
        return shown


def parse_rates(given: Sequence[str]) -> dict[str, float]:
    """Read NAME=RATE; raises UserError for another form, and leaves it to Faults whether there is such a fault."""
    rates = {}
    for each in given:
        name, _, rate = each.partition("=")
        try:
            rates[name] = float(rate)
        except ValueError:
            raise UserError(
                f"--fault {each}: give NAME=RATE, such as captcha=0.05. Names: {', '.join([ALL_FAULTS, *FAULTS])}."
            ) from None
    return rates
