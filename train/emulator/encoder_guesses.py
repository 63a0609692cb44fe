"""Encoders worth a try, guessed from what renditions' files reveal: quantisers, wavelets, sizes in bytes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import product
from statistics import fmean

import numpy as np
from PIL import Image

from collect import codecs
from collect.codecs.encoders import SAMPLINGS
from collect.codecs.headers import jpeg2000, webp
from collect.codecs.headers.avif import avif
from train.emulator.observations import Header, Observed, Steps, jpeg_quality
from train.emulator.search import Candidate

PROBES = 2  # pairs that a guess encodes again and again
QUALITIES = 101
METHODS = (4, 6, 5, 3, 2, 1, 0)  # of WebP encoders, the likeliest first
SPEEDS = (6, 8, 9, 10, 7, 5, 4)  # of AVIF encoders, the likeliest first; the others take seconds an image
RATES = 0.92, 1.15  # times raw over encoded bytes: where a rate is looked for; small files overshoot

Guesser = Callable[[Candidate], Iterable[str]]


def alike(pairs: Sequence[Observed]) -> list[Observed]:
    """Keep the pairs of one format whose files are made in the commonest way: lossless or not, by one wavelet."""
    ways = [_way(pair) for pair in pairs]
    commonest = Counter(ways).most_common(1)[0][0]
    return [pair for pair, way in zip(pairs, ways, strict=True) if way == commonest]


def _way(pair: Observed) -> bool | str | None:
    """Tell what an encoder's options are guessed from; None for a file that can't be read so."""
    try:
        if pair.header.format == "WEBP":
            return webp.webp(_bytes(pair)).lossless
        if pair.header.format == "AVIF":
            return avif(_bytes(pair)).sampling
        if pair.header.format == "JPEG2000":
            return jpeg2000.jpeg2000(_bytes(pair)).irreversible
    except ValueError:
        pass
    return None


def guesser(pairs: Sequence[Observed], tables: Sequence[tuple[Steps, ...]]) -> Guesser | None:
    """Return what lists the encoders worth a try after a plan's steps; None when no encoder here makes such files.

    Args:
        pairs: of one format and alike, the most telling first.
        tables: the JPEGs' different ones.
    """
    kind, probes = pairs[0].header.format, pairs[:PROBES]
    try:
        if kind == "JPEG":
            return _constant(_jpeg([pair.header for pair in pairs], tables)) if tables else None
        if kind == "PNG":
            return _constant("png")
        if kind == "WEBP":
            is_lossless = webp.webp(_bytes(probes[0])).lossless
            return _constant("webp:lossless") if is_lossless else partial(_webp, probes)
        if kind == "AVIF":
            seen = avif(_bytes(probes[0]))
            return partial(_avif, seen.quantiser, seen.sampling) if seen.sampling in SAMPLINGS else None
        if kind == "JPEG2000":
            return partial(_jpeg2000, probes, jpeg2000.jpeg2000(_bytes(probes[0])).irreversible)
    except ValueError:  # a file of a kind that no encoder here makes, such as a moving WebP
        pass
    return None


def _constant(encoder: str) -> Guesser:
    return lambda _: [encoder]


def _bytes(pair: Observed) -> bytes:
    return pair.header.rendition.read_bytes()


def _jpeg(headers: Sequence[Header], tables: Sequence[tuple[Steps, ...]]) -> str:
    samplings = Counter(header.sampling for header in headers if header.sampling in SAMPLINGS)
    sampling = samplings.most_common(1)[0][0] if samplings else "420"
    scan = ":progressive" if sum(header.progressive for header in headers) > len(headers) / 2 else ""
    return f"jpeg:{strength(tables)}:{sampling}{scan}"


def strength(tables: Sequence[tuple[Steps, ...]]) -> str:
    """Return the quality that JPEGs' tables are those of, or `tables`."""
    quality = jpeg_quality(tables[0]) if len(tables) == 1 else None
    return str(quality or "tables")


def _webp(pairs: Sequence[Observed], plan: Candidate) -> Iterator[str]:
    served = sum(_quantisers(_bytes(pair)) for pair in pairs)
    for method in METHODS:  # each cuts an image into segments in its own way
        quality = _bisect(partial(_fineness, pairs, plan, method), -served)
        for other in _around(quality):
            yield f"webp:{other}:m{method}"


def _fineness(pairs: Sequence[Observed], plan: Candidate, method: int, quality: int) -> float:
    chain = replace(plan, encoder=f"webp:{quality}:m{method}").chain
    return -sum(_quantisers(codecs.encode(pair.original, chain)) for pair in pairs)


def _quantisers(data: bytes) -> float:
    found = webp.webp(data)
    return found.quantiser + fmean(found.segments)


def _avif(quantiser: int, sampling: str, _: Candidate) -> Iterator[str]:
    quality = _bisect(lambda quality: -_quantiser(quality), -quantiser)
    alike = [other for other in _around(quality) if _quantiser(other) == _quantiser(quality)]
    for speed, other in product(SPEEDS, alike):
        yield f"avif:{other}:{sampling}:s{speed}"


@cache
def _quantiser(quality: int) -> int:
    """Return the quantiser of an AVIF quality, which is the same for every image and speed."""
    return avif(codecs.encode(Image.new("RGB", (16, 16)), f"avif:{quality}:s10")).quantiser


def _around(quality: int) -> list[int]:
    """List the qualities near one, the nearest first."""
    near = range(max(0, quality - 3), min(100, quality + 3) + 1)
    return sorted(near, key=lambda other: abs(other - quality))


def _jpeg2000(pairs: Sequence[Observed], irreversible: bool, plan: Candidate) -> Iterator[str]:
    """List rates around what the files were shrunk by, and PSNRs around theirs."""
    wavelet = ":irreversible" if irreversible else ""
    shrunk = min(3 * math.prod(pair.rendition.size) / pair.header.payload for pair in pairs)
    step = 1 if shrunk > 40 else 0.5 if shrunk > 5 else 0.1
    lowest, highest = (round(bound * shrunk / step) for bound in RATES)
    rates = [step * number for number in range(lowest, highest + 1)]
    for rate in sorted(rates, key=lambda rate: (rate != round(rate), abs(rate - shrunk))):
        yield f"jp2:{min(max(rate, 1), 1000):g}{wavelet}"
    noise = fmean(_square_error(pair, plan) for pair in pairs)
    if noise > 0:
        nearest = round(10 * math.log10(255**2 / noise))
        for decibels in range(max(10, nearest - 2), min(100, nearest + 2) + 1):
            yield f"jp2:{decibels}dB{wavelet}"
    yield f"jp2:1{wavelet}"


def _square_error(pair: Observed, plan: Candidate) -> float:
    before = codecs.before_encoding(pair.original, plan.chain)
    if before.size != pair.rendition.size:
        return 0.0
    return float(np.square(np.asarray(before, float) - np.asarray(pair.rendition, float)).mean())


def _bisect(measure: Callable[[int], float], wanted: float) -> int:
    """Find the quality, 0–100, whose measure, which rises with it, comes nearest to the wanted one."""
    low, high = 0, QUALITIES - 1
    while high - low > 1:
        middle = (low + high) // 2
        if measure(middle) < wanted:
            low = middle
        else:
            high = middle
    return min(low, high, key=lambda quality: abs(measure(quality) - wanted))
