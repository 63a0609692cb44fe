"""What a platform does to a JPEG's coefficients at random: a few of them are off by 1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from collect import codecs
from collect.codecs.decoders import DECODE
from collect.codecs.libjpeg import read_coefficients
from train.emulator.model import Emulator
from train.emulator.observations import Observed

MOST_NOISE = 0.02  # share of the coefficients; more is no noise, but a chain that isn't known
MOST_PAIRS = 12  # that are looked at


def noise_share(found: Emulator, pairs: Sequence[Observed]) -> float | None:
    """Return the share of the coefficients that are off by 1; None where others are off by more, or too many are."""
    if found.fitted or found.format != "JPEG" or found.chain.split("+")[-1] == "png":
        return None
    wrong = total = 0
    for pair in pairs[:MOST_PAIRS]:
        tables = found.choose(pair.original)
        upload = pair.header.original if found.chain.startswith(DECODE) else pair.original
        with TemporaryDirectory() as folder:
            file = Path(folder, "encoded.jpg")
            file.write_bytes(codecs.encode(upload, found.chain, tables.steps if tables else None))
            expected, seen = read_coefficients(file), read_coefficients(pair.header.rendition)
        for one, other in zip(expected, seen, strict=False):
            if one.shape != other.shape or np.abs(one - other).max() > 1:
                return None
            wrong += int((one != other).sum())
            total += one.size
    share = wrong / total if total else 1.0
    return share if share <= MOST_NOISE else None
