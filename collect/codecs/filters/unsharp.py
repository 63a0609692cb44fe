"""ImageMagick's -unsharp, in 16 bits."""

from __future__ import annotations

import numpy as np

from collect.codecs.filters import Filter
from collect.codecs.steps.arguments import none_left, number
from collect.codecs.steps.pixels import Levels, Pixels
from collect.codecs.steps.quantum import LARGEST, convolved, from_quanta, reach, rounded, to_quanta

SAMPLES = 3  # of the Gaussian, a pixel


class Unsharp(Filter):
    """Add `amount` times the difference from a copy blurred by a Gaussian, where twice that reaches the threshold.

    Sigma is in pixels; the threshold is a share of the range. RADIUS is how many pixels to each side are blurred, as
    many as matter unless given. `-unsharp 0x0.75+0.75+0.008` is `unsharp:0.75:0.75:0.008`.
    """

    usual = ("0.25:8:0.065:1", "0.75:0.75:0.008", "0.5:0.5:0.008", "0.5:1:0.05", "1:1:0.05")  # WordPress's first
    forms = "unsharp:SIGMA:AMOUNT[:THRESHOLD[:RADIUS]]"

    def __init__(self, *arguments: str) -> None:
        sigma = number("unsharp", "sigma", arguments[:1], 0.1, 100)
        self.amount = number("unsharp", "amount", arguments[1:2], 0, 100)
        self.threshold = number("unsharp", "threshold", arguments[2:3] or ("0",), 0, 1)
        far = int(number("unsharp", "radius", arguments[3:4], 1, 100, whole=True)) if arguments[3:] else reach(sigma, 1)
        none_left("unsharp", arguments[4:])
        samples = np.arange(-(SAMPLES * (2 * far + 1) // 2), SAMPLES * (2 * far + 1) // 2 + 1)
        curve = np.exp(-(samples**2) / (2 * (SAMPLES * sigma) ** 2)).reshape(-1, SAMPLES).sum(1)
        self.blur = curve / curve.sum()
        self.weights = -self.amount * np.outer(self.blur, self.blur)
        self.weights[far, far] += 1 + self.amount

    def __call__(self, pixels: Pixels) -> Levels:
        quanta = to_quanta(pixels)
        difference = quanta - convolved(convolved(quanta, self.blur[None]), self.blur[:, None])
        kept = np.abs(2 * difference) < LARGEST * self.threshold
        return from_quanta(np.where(kept, quanta, rounded(quanta + difference * self.amount)))
