"""The search for the chain of real encoders that best reproduces renditions."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from statistics import fmean

from PIL import Image

from collect import codecs
from collect.codecs.encoders import encoder
from collect.codecs.kernels import all_kernels
from train.emulator.observations import Observed

KEPT = 1 / 3  # share of the candidates that go on to be measured on twice as many pairs
SAME = 0.002  # grey levels; below this mean a chain is taken for the platform's own
AMOUNTS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0)  # of sharpening
FINER = (0.1, 0.05, 0.02, 0.01)  # steps of the amount
EARLIER = range(30, 101)  # JPEG qualities of a second, earlier encode
GAIN = 0.5  # an earlier encode is believed if it takes away at least this share of the error
ROUNDS = 3


@dataclass(frozen=True)
class Candidate:
    """A chain in its parts. `place` says where `earlier` encodes: first, after the resize, after the sharpening."""

    encoder: str
    resize: str = ""  # without the kernel
    kernel: str = "lanczos"
    amount: float = 0.0
    earlier: str = ""
    place: int = 0

    @property
    def chain(self) -> str:
        steps = [
            f"{self.resize}:{self.kernel}" if self.resize else "",
            f"sharpen:{self.amount:g}" if self.amount else "",
        ]
        steps.insert(self.place, self.earlier)
        return "+".join(filter(None, [*steps, self.encoder]))


class Search:
    """Measures plans on pairs: all on few, the better ones on more.

    Args:
        pairs: the most telling first.
        deadline: of `time.monotonic`, after which nothing new is measured.
        tell: is called with the best plan so far and its error.
    """

    def __init__(
        self, pairs: Sequence[Observed], deadline: float, tell: Callable[[Candidate, float], None] = lambda *_: None
    ) -> None:
        self.pairs, self.deadline, self.tell = pairs, deadline, tell
        self.errors: dict[tuple[str, int], float] = {}

    def is_late(self) -> bool:
        return time.monotonic() > self.deadline

    def error(self, plan: Candidate, count: int | None = None) -> float:
        """Return the mean error over the first `count` pairs, or over all, in grey levels."""
        chain = plan.chain
        for index, pair in enumerate(self.pairs[:count]):
            if (chain, index) not in self.errors:
                self.errors[chain, index] = pair.error(decode(pair, chain))
        return fmean(self.errors[chain, index] for index in range(len(self.pairs[:count])))

    def best(self, plans: Iterable[Candidate]) -> Candidate:
        """Return the plan of the least error, the earlier listed among equals; when late, of those measured.

        Stops at the first that reproduces all pairs.
        """
        left, count = plans, 1
        while True:
            measured: dict[str, tuple[float, Candidate]] = {}
            for plan in left:
                measured.setdefault(plan.chain, (self.error(plan, count), plan))
                if self.is_late():
                    return min(measured.values(), key=lambda each: each[0])[1]
                if count == 1 and self.is_found(plan):
                    return plan
            ranked = sorted(measured.values(), key=lambda each: each[0])
            self.tell(ranked[0][1], ranked[0][0])
            if len(ranked) == 1 or count >= len(self.pairs):
                return ranked[0][1]
            left, count = [plan for _, plan in ranked[: math.ceil(len(ranked) * KEPT)]], 2 * count

    def is_found(self, plan: Candidate) -> bool:
        """Tell whether a plan reproduces the pairs, as far as there is time to know.

        Looks at no more of them than it takes to see that it doesn't.
        """
        return all(not self.is_late() and self.error(plan, count) <= SAME for count in range(1, len(self.pairs) + 1))


def decode(pair: Observed, chain: str) -> Image.Image:
    """Return what a chain makes of a pair's original; `jpeg:tables` takes the tables of the pair's own rendition."""
    tables = pair.header.tables or None
    if encoder(*chain.split("+")[-1].split(":"), tables=tables).is_lossless:  # slow, and nothing changes
        return codecs.before_encoding(pair.original, chain)
    return codecs.decoded(pair.original, chain, tables)


def find(search: Search, rule: str, encoders: Callable[[Candidate], Iterable[str]]) -> Candidate:
    """Find the plan that reproduces the pairs best, by one part after the other, until nothing gets better.

    Args:
        rule: the resize step, without its kernel.
        encoders: lists the encoders worth a try after the steps of a plan, the likeliest first.
    """
    plan = search.best(Candidate(encoder, rule) for encoder in encoders(Candidate("png", rule)))
    plan = _settle(search, plan, encoders)
    if search.is_found(plan) or search.is_late():
        return plan
    second = search.best(_with_earlier(plan))
    second = _settle(search, second, encoders)
    return second if search.error(second) <= (1 - GAIN) * search.error(plan) else plan


def _settle(search: Search, plan: Candidate, encoders: Callable[[Candidate], Iterable[str]]) -> Candidate:
    for _ in range(ROUNDS):
        if search.is_late() or search.is_found(plan):
            break
        before = plan
        kernels = tuple(all_kernels()) if plan.resize else (plan.kernel,)
        plan = search.best(_sharpened(plan, kernels, AMOUNTS))
        for step in FINER:
            # the kernel again, since a little more sharpening can pass for another kernel
            amounts = (max(0.0, round(plan.amount + steps * step, 2)) for steps in (0, -1, 1, -2, 2))
            plan = search.best(_sharpened(plan, kernels, amounts))
        plan = search.best([plan, *(replace(plan, encoder=encoder) for encoder in encoders(plan))])
        if plan == before:
            break
    return plan


def _sharpened(plan: Candidate, kernels: Iterable[str], amounts: Iterable[float]) -> Iterator[Candidate]:
    yield plan
    for kernel, amount in product(kernels, amounts):
        yield replace(plan, kernel=kernel, amount=amount)


def _with_earlier(plan: Candidate) -> Iterator[Candidate]:
    for place, sampling, quality in product((0, 1, 2), ("420", "444"), EARLIER):
        yield replace(plan, earlier=f"jpeg:{quality}:{sampling}", place=place)
