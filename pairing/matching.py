"""Find by content alone which original each file is of, where names and order are lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from collect.images import Unusable, decoding
from collect.terminal import terminal
from collect.thumbnails import shrink
from pairing.alignment.align import BLANK, Measurement, measure_pair
from pairing.alignment.canvas import luma
from pairing.alignment.orientation import turned
from params import Pairing

SIDE = 16  # pixels, of the thumbnails that choose the candidates
CANDIDATES = 5  # originals that a file is registered with, at most
ALIKE = 0.4  # correlation of the thumbnails, at least
MORE = 0.1  # by which a candidate's may be less than the best's to be looked at beside an accepted one
CLEAR = 1.1  # times the residual of the best: what the next must have, at least


@dataclass(frozen=True)
class Match:
    """A file, the original that it is of, and how they lie; without one, the reason why not."""

    rendition: Path
    original: Path | None
    measured: Measurement | None
    reason: str | None


def match(originals: Sequence[Path], renditions: Sequence[Path], settings: Pairing) -> list[Match]:
    """Assign files to originals, each original once at most, in the renditions' order.

    Thumbnails choose a few candidates for a file, and registering with them decides. A file that is as near to two
    originals is ambiguous and gets none. Raises OSError when an original can't be read.
    """
    thumbnails = np.stack([_thumbnails(file)[0] for file in originals])
    files = track(renditions, "match", console=terminal())
    found = [_match(originals, thumbnails, file, settings) for file in files]
    first: dict[Path, Match] = {}
    for each in sorted(filter(lambda each: each.original, found), key=_residual):
        assert each.original is not None
        first.setdefault(each.original, each)
    return [
        each
        if each.original is None or first[each.original] is each
        else replace(each, original=None, reason=f"a duplicate: {first[each.original].rendition.name} is nearer")
        for each in found
    ]


def _match(originals: Sequence[Path], thumbnails: NDArray[np.float32], rendition: Path, settings: Pairing) -> Match:
    try:
        with decoding():
            alike = (thumbnails @ _thumbnails(rendition).T).max(axis=1)
    except Unusable as error:
        return Match(rendition, None, None, f"unreadable: {error}")
    accepted: list[tuple[Path, Measurement]] = []
    reasons: list[str] = []
    order = (-alike).argsort(kind="stable")[:CANDIDATES]
    for place in order:
        if alike[place] < (alike[order[0]] - MORE if accepted else ALIKE):
            break
        measured = measure_pair(originals[place], rendition, settings)
        if measured.reason is None:
            accepted.append((originals[place], measured))
        else:
            reasons.append(measured.reason)
    if not accepted:
        told = next((reason for reason in reasons if not reason.startswith("another picture")), None)
        return Match(rendition, None, None, told or _nothing(rendition))
    accepted.sort(key=lambda each: each[1].residual or 0)
    (original, measured), *others = accepted
    if others and (others[0][1].residual or 0) < CLEAR * (measured.residual or 0) + 0.1:
        return Match(rendition, None, None, f"ambiguous: as near to {others[0][0].name} as to {original.name}")
    return Match(rendition, original, measured, None)


def _nothing(rendition: Path) -> str:
    with Image.open(rendition) as image:
        return "a blank placeholder" if luma(image).std() < BLANK else "another picture: no original is like it"


def _thumbnails(file: Path) -> NDArray[np.float32]:
    """Shrink an image's luma, as it is and then in each turn, to vectors whose products are correlations; [8, n]."""
    with Image.open(file) as image:
        small = shrink(image, SIDE, "L")
    vectors = np.stack([luma(turned(small, turn)).ravel() for turn in (None, *Image.Transpose)])
    vectors -= vectors.mean(axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-3), np.float32)


def _residual(each: Match) -> tuple[float, str]:
    return (each.measured.residual or 0 if each.measured else 0), each.rendition.name
