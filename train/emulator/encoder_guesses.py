"""Encoders worth a try, by what each encoder's own file in collect/codecs/encoders guesses of renditions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice

from collect import codecs
from collect.codecs.encoders import Encoder, Rendition, all_encoders
from train.emulator.observations import Observed, Steps
from train.emulator.search import Candidate


@dataclass(frozen=True)
class Guesser:
    """Lists the encoders worth a try after the steps of a candidate, the likeliest first."""

    makers: Sequence[type[Encoder]]
    pairs: Sequence[Observed]
    tables: Sequence[tuple[Steps, ...]]

    def __call__(self, plan: Candidate) -> Iterator[str]:
        for maker in self.makers:
            yield from maker.guesses(self._seen(plan), self.tables)

    def first_of_each(self, plan: Candidate) -> Iterator[str]:
        """List the likeliest settings of each encoder."""
        for maker in self.makers:
            yield from islice(maker.guesses(self._seen(plan), self.tables), 1)

    def _seen(self, plan: Candidate) -> list[Rendition]:
        return [
            Rendition(
                pair.header.rendition,
                pair.header.payload,
                pair.rendition,
                partial(codecs.before_encoding, pair.original, plan.chain),
            )
            for pair in self.pairs
        ]


def alike(pairs: Sequence[Observed]) -> list[Observed]:
    """Keep the pairs of one format whose files are of the commonest variant: lossless or not, by one wavelet."""
    variants = [_variants(pair) for pair in pairs]
    commonest = Counter(variants).most_common(1)[0][0]
    return [pair for pair, variant in zip(pairs, variants, strict=True) if variant == commonest]


def guesser(pairs: Sequence[Observed], tables: Sequence[tuple[Steps, ...]]) -> Guesser | None:
    """Return what lists the encoders worth a try after a plan's steps; None when no encoder here makes such files.

    Args:
        pairs: of one format and alike, the most telling first.
        tables: the JPEGs' different ones.
    """
    makers = [encoder for encoder, _ in _variants(pairs[0])]
    return Guesser(makers, pairs, tables) if makers else None


def _variants(pair: Observed) -> tuple[tuple[type[Encoder], str], ...]:
    """List the encoders that may have made a file, the likeliest first, and which of its variants it is."""
    variants = []
    for encoder in sorted(all_encoders().values(), key=lambda encoder: encoder.place):
        if encoder.format == pair.header.format:
            with suppress(ValueError):  # a file of a kind that it doesn't make, such as a moving WebP
                variants.append((encoder, encoder.variant(pair.header.rendition)))
    return tuple(variants)
