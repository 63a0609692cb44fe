"""The search for the chain of real encoders that best reproduces renditions."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from statistics import fmean
from typing import Protocol

from PIL import Image

from collect import codecs
from collect.codecs.decoders import DECODE
from collect.codecs.encoders import encoder
from collect.codecs.filters import all_filters
from collect.codecs.kernels import installed_kernels
from train.emulator.observations import Observed

LARGE = 2_000_000  # pixels
OWN_SIZE = "own"  # a resize step of the search alone: each rendition's own size
MOST_KERNELS = 5  # that are tried with every encoder and filter
SHARPEN = "sharpen"  # the filter whose amount is refined
KEPT_SHARE = 1 / 3  # share of the candidates that go on to be measured on twice as many pairs
FOUND_MAE = 0.002  # grey levels; below this mean a chain is taken for the platform's own
SHARPENING_AMOUNTS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0)  # of sharpening
FINER_STEPS = (0.1, 0.05, 0.02, 0.01)  # steps of the amount
EARLIER_QUALITIES = range(30, 101)  # JPEG qualities of a second, earlier encode
MIN_EARLIER_GAIN = 0.5  # an earlier encode is believed if it takes away at least this share of the error
REFINING_ROUNDS = 3


@dataclass(frozen=True)
class Candidate:
    """A chain in its parts. `place` says where `earlier` encodes: first, after the resize, after the filter."""

    encoder: str
    resize: str = ""  # without the kernel
    kernel: str = "lanczos"
    filter: str = ""
    earlier: str = ""
    place: int = 0
    decoder: str = ""  # of JPEG uploads

    @property
    def chain(self) -> str:
        steps = [f"{self.resize}:{self.kernel}" if self.resize else "", self.filter]
        steps.insert(self.place, self.earlier)
        return "+".join(filter(None, [self.decoder, *steps, self.encoder]))


class Guesses(Protocol):
    """What lists encoders worth a try after a candidate's steps."""

    def __call__(self, plan: Candidate) -> Iterable[str]: ...

    def first_of_each(self, plan: Candidate) -> Iterable[str]: ...


class Search:
    """Measures candidates on pairs: all on few, the better ones on more.

    Args:
        pairs: the most telling first.
        deadline: of `time.monotonic`, after which nothing new is measured.
        on_best: is called with the best candidate so far and its error.
    """

    def __init__(
        self, pairs: Sequence[Observed], deadline: float, on_best: Callable[[Candidate, float], None] = lambda *_: None
    ) -> None:
        self.pairs, self.deadline, self.on_best = pairs, deadline, on_best
        self.errors: dict[tuple[str, int], float] = {}

    @property
    def is_slow(self) -> bool:
        """Tell whether images are so large that each candidate takes seconds."""
        return math.prod(self.pairs[0].original.size) > LARGE

    def is_late(self) -> bool:
        return time.monotonic() > self.deadline

    def error(self, candidate: Candidate, count: int | None = None) -> float:
        """Return the mean error over the first `count` pairs, or over all, in grey levels."""
        chain = candidate.chain
        for index, pair in enumerate(self.pairs[:count]):
            if (chain, index) not in self.errors:
                self.errors[chain, index] = pair.error(apply_chain(pair, chain))
        return fmean(self.errors[chain, index] for index in range(len(self.pairs[:count])))

    def best_of(self, candidates: Iterable[Candidate]) -> Candidate:
        """Return the candidate of the least error, the earlier listed among equals; when late, of those measured.

        Stops at the first that reproduces all pairs.
        """
        return self.best(candidates, 1)[0]

    def best(self, candidates: Iterable[Candidate], most: int) -> list[Candidate]:
        """Return at most so many candidates, the best first, as `best_of` has them."""
        left, count = candidates, 1
        while True:
            measured: dict[str, tuple[float, Candidate]] = {}
            for candidate in left:
                measured.setdefault(candidate.chain, (self.error(candidate, count), candidate))
                if self.is_late():
                    return [each for _, each in sorted(measured.values(), key=lambda each: each[0])][:most]
                if count == 1 and self.is_found(candidate):
                    return [candidate]
            ranked = sorted(measured.values(), key=lambda each: each[0])
            self.on_best(ranked[0][1], ranked[0][0])
            if len(ranked) <= most or count >= len(self.pairs):
                return [candidate for _, candidate in ranked[:most]]
            left, count = [candidate for _, candidate in ranked[: math.ceil(len(ranked) * KEPT_SHARE)]], 2 * count

    def is_found(self, candidate: Candidate) -> bool:
        """Tell whether a candidate reproduces the pairs, as far as there is time to know.

        Looks at no more of them than it takes to see that it doesn't.
        """
        return all(
            not self.is_late() and self.error(candidate, count) <= FOUND_MAE for count in range(1, len(self.pairs) + 1)
        )


def apply_chain(pair: Observed, chain: str) -> Image.Image:
    """Return what a chain makes of a pair's original.

    `jpeg:tables` takes the tables of the pair's own rendition, and a resize step `OWN_SIZE` its size.
    """
    tables = pair.header.tables or None
    chain = chain.replace(f"{OWN_SIZE}:", f"size:{'x'.join(map(str, pair.rendition.size))}:")
    upload = pair.header.original if chain.startswith(DECODE) else pair.original
    if encoder(*chain.split("+")[-1].split(":"), tables=tables).is_lossless:  # slow, and nothing changes
        return codecs.before_encoding(upload, chain)
    return codecs.decoded(upload, chain, tables)


def find_candidate(search: Search, rule: str, encoders: Guesses, decoders: Sequence[str] = ("",)) -> Candidate:
    """Find the candidate that reproduces the pairs best, by one part after the other, until nothing gets better.

    Args:
        rule: the resize step, without its kernel.
        encoders: lists the encoders worth a try after the steps of a candidate, the likeliest first.
        decoders: of JPEG uploads, the likeliest first.
    """
    plain = Candidate("png", rule)
    kernels = [plain]
    if rule:
        # with an encoder of each kind, since one that isn't the platform's misleads about the kernel
        kinds = islice(encoders.first_of_each(plain), 1 if search.is_slow else None)
        names = installed_kernels(only_libraries=search.is_slow)
        every = (replace(plain, encoder=encoder, kernel=kernel) for encoder, kernel in product(kinds, names))
        kernels = [replace(each, encoder=plain.encoder) for each in search.best(every, MOST_KERNELS)]
    candidate = search.best_of(
        replace(each, encoder=encoder, decoder=decoder)
        for encoder in encoders(plain)
        for decoder, each in product(decoders, kernels)
    )
    # with a filter another kernel may come nearer; those of libraries are quick to try
    names = list(dict.fromkeys([*(each.kernel for each in kernels), *installed_kernels(only_libraries=True)]))
    candidate = _refine(search, candidate, encoders, names)
    if search.is_found(candidate) or search.is_late():
        return candidate
    second = search.best_of(_with_earlier(candidate))
    second = _refine(search, second, encoders, names)
    return second if search.error(second) <= (1 - MIN_EARLIER_GAIN) * search.error(candidate) else candidate


def _refine(search: Search, candidate: Candidate, encoders: Guesses, kernels: Sequence[str]) -> Candidate:
    for _ in range(REFINING_ROUNDS):
        if search.is_late() or search.is_found(candidate):
            break
        before = candidate
        known = [
            f"{name}:{setting}" for name, each in all_filters().items() if name != SHARPEN for setting in each.usual
        ]
        amounts = [f"{SHARPEN}:{amount:g}" if amount else "" for amount in SHARPENING_AMOUNTS]
        candidate = search.best_of(_filtered(candidate, kernels, [*amounts, *known]))
        for step in FINER_STEPS:
            # the kernel again, since a little more sharpening can pass for another kernel
            candidate = search.best_of(_filtered(candidate, kernels, _finer(candidate.filter, step)))
        candidate = search.best_of(
            [candidate, *(replace(candidate, encoder=encoder) for encoder in encoders(candidate))]
        )
        if candidate == before:
            break
    return candidate


def _finer(by: str, step: float) -> list[str]:
    """List amounts of sharpening around one; other filters have none."""
    name, _, setting = by.partition(":")
    if name not in ("", SHARPEN):
        return [by]
    amounts = {max(0.0, round(float(setting or 0) + steps * step, 2)) for steps in (0, -1, 1, -2, 2)}
    return [f"{SHARPEN}:{amount:g}" if amount else "" for amount in sorted(amounts)]


def _filtered(candidate: Candidate, kernels: Iterable[str], filters: Iterable[str]) -> Iterator[Candidate]:
    yield candidate
    for kernel, by in product(kernels, filters):
        yield replace(candidate, kernel=kernel, filter=by)


def _with_earlier(candidate: Candidate) -> Iterator[Candidate]:
    for place, sampling, quality in product((0, 1, 2), ("420", "444"), EARLIER_QUALITIES):
        yield replace(candidate, earlier=f"jpeg:{quality}:{sampling}", place=place)
