"""JPEG 2000, as OpenJPEG writes it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

import numpy as np

from collect.codecs.encoders import Encoder, Rendition
from collect.codecs.headers import jpeg2000
from collect.codecs.quality_search import PROBES
from collect.codecs.quantisation import Tables
from collect.codecs.steps.arguments import number

RATES = 0.92, 1.15  # times raw over encoded bytes: where a rate is looked for; small files overshoot


class Jpeg2000(Encoder):
    software = "OpenJPEG"
    forms = "jp2:RATE[:irreversible], jp2:DECIBELSdB[:irreversible]"
    format, media_type = "JPEG2000", "image/jp2"
    choices: ClassVar = {"irreversible": {"irreversible": True}}

    def strength(self, arguments: tuple[str, ...]) -> dict[str, Any]:
        mode, what, low, high = "rates", "rate", 1, 1000
        if arguments and arguments[0].endswith("dB"):
            mode, what, low, high, arguments = "dB", "PSNR before dB", 10, 100, (arguments[0].removesuffix("dB"),)
        return {"quality_mode": mode, "quality_layers": [number(self.name, what, arguments, low, high)]}

    @classmethod
    def variant(cls, file: Path) -> str:
        return "irreversible" if jpeg2000.jpeg2000(file.read_bytes()).irreversible else "reversible"

    @classmethod
    def guesses(cls, seen: Sequence[Rendition], tables: Sequence[Tables]) -> Iterator[str]:
        """List rates around what the files were shrunk by, and PSNRs around theirs."""
        wavelet = ":irreversible" if cls.variant(seen[0].file) == "irreversible" else ""
        shrunk = min(3 * math.prod(each.image.size) / each.payload for each in seen[:PROBES])
        step = 1 if shrunk > 40 else 0.5 if shrunk > 5 else 0.1
        lowest, highest = (round(bound * shrunk / step) for bound in RATES)
        rates = [step * count for count in range(lowest, highest + 1)]
        for rate in sorted(rates, key=lambda rate: (rate != round(rate), abs(rate - shrunk))):
            yield f"jp2:{min(max(rate, 1), 1000):g}{wavelet}"
        noise = fmean(map(_square_error, seen[:PROBES]))
        if noise > 0:
            nearest = round(10 * math.log10(255**2 / noise))
            for decibels in range(max(10, nearest - 2), min(100, nearest + 2) + 1):
                yield f"jp2:{decibels}dB{wavelet}"
        yield f"jp2:1{wavelet}"


def _square_error(seen: Rendition) -> float:
    before = seen.before()
    if before.size != seen.image.size:
        return 0.0
    return float(np.square(np.asarray(before, float) - np.asarray(seen.image, float)).mean())
