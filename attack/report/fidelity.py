"""How near a ComModel comes to its platform: on test pairs, on the adversarial images that came back, by frequency."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dctn
from torch import Tensor, nn

from attack.evaluation.outcomes import Outcome
from params import THROUGH_COM_MODEL
from train.data import Pairs
from train.device import device_of
from train.tensors import colours_and_counts, mean_absolute_difference, scaled, to_float, to_levels

BLOCK = 8
MOST_ADVERSARIAL = 60  # images measured of a kind, evenly spread: each costs a pass through the ComModel
SLOWEST_TO_FASTEST = np.hypot(*np.indices((BLOCK, BLOCK))).round().astype(int)  # a coefficient's place in a spectrum
FREQUENCIES = np.arange(SLOWEST_TO_FASTEST.max() + 1) / (2 * BLOCK)  # of a spectrum's places, cycles a pixel

Spectrum = NDArray[np.float64]


@dataclass(frozen=True)
class Errors:
    """The mean absolute errors of a ComModel and of the identity, in grey levels, whole and by frequency."""

    each: tuple[float, ...]  # of the model, image by image
    mae: float
    identity_mae: float
    spectrum: Spectrum
    identity_spectrum: Spectrum

    @property
    def images(self) -> int:
        return len(self.each)

    @property
    def typical_and_worst(self) -> list[int]:
        """The images of the median and of the largest error; one where there is but one."""
        order = np.argsort(self.each, kind="stable").tolist()
        return list(dict.fromkeys([order[(len(order) - 1) // 2], order[-1]]))


@dataclass(frozen=True)
class Picture:
    """A test image, uint8 [3, H, W] four times."""

    name: str
    original: Tensor
    served: Tensor
    modelled: Tensor
    error: Tensor  # the model's less the real one's, ×20; 128: none
    mae: float  # grey levels


def measure_errors(model: nn.Module, pairs: Iterable[tuple[Tensor, Tensor]]) -> Errors:
    """Measure a model and the identity on originals and renditions, at least one, each image counting alike.

    Where sizes differ, the rendition is brought to the model's, or the original's, by Lanczos.
    """
    modelled, identity = [], []
    for original, rendition in pairs:
        modelled.append(_error(respond(model, original), rendition))
        identity.append(_error(original, rendition))
    (mae, by_frequency), (identity_mae, identity_by_frequency) = _means(modelled), _means(identity)
    return Errors(tuple(mae for mae, _ in modelled), mae, identity_mae, by_frequency, identity_by_frequency)


def _error(image: Tensor, rendition: Tensor) -> tuple[float, Spectrum]:
    expected = scaled(rendition, *image.shape[-2:])
    colours, counts = colours_and_counts(expected)
    return mean_absolute_difference(image, expected), spectrum(((image.int() - colours.int()) * counts).numpy())


def _means(errors: Sequence[tuple[float, Spectrum]]) -> tuple[float, Spectrum]:
    absolute, by_frequency = zip(*errors, strict=True)
    return float(np.mean(absolute)), np.mean(by_frequency, axis=0)


def spectrum(error: NDArray[np.int32]) -> Spectrum:
    """Return the mean |coefficient| of an error [C, H, W] in 8×8 blocks' orthonormal DCT, at FREQUENCIES.

    White noise of a standard deviation has that one in each coefficient. What is left of a block is left out.
    """
    channels, rows, columns = error.shape[0], error.shape[1] // BLOCK, error.shape[2] // BLOCK
    blocks = error[:, : rows * BLOCK, : columns * BLOCK].reshape(channels, rows, BLOCK, columns, BLOCK)
    sizes = np.abs(dctn(blocks.astype(np.float32), axes=(2, 4), norm="ortho")).mean(axis=(0, 1, 3))
    places = SLOWEST_TO_FASTEST.ravel()
    return np.bincount(places, sizes.ravel()) / np.bincount(places)


def by_attack(model: nn.Module, outcomes: Sequence[Outcome], adversarial: Path, evaluation: Path) -> dict[bool, Errors]:
    """Measure the adversarial images that came back; the key is whether they were made through the ComModel.

    Args:
        adversarial: the folder of the files as uploaded.
        evaluation: the folder of those that came back.
    """
    found = {}
    for through in (False, True):
        files = [
            (adversarial / each.file, evaluation / each.served)
            for each in outcomes
            if each.served and each.attack.startswith(THROUGH_COM_MODEL) == through
        ]
        if files:
            found[through] = measure_errors(model, Pairs(files).some(MOST_ADVERSARIAL))
    return found


def picture(model: nn.Module, pairs: Pairs, index: int) -> Picture:
    """Show a pair, what the model makes of the original, and how far that is from the rendition."""
    original, served = pairs[index]
    modelled = respond(model, original)
    expected = scaled(served, *modelled.shape[-2:])
    colours, counts = colours_and_counts(expected)
    error = (128 + 20 * (modelled.int() - colours.int()) * counts).clamp(0, 255).to(torch.uint8)
    name, mae = pairs.files[index][0].name, mean_absolute_difference(modelled, expected)
    return Picture(name, original, colours_and_counts(served)[0], modelled, error, mae)


@torch.no_grad()
def respond(model: nn.Module, image: Tensor) -> Tensor:
    """Return what a model makes of an image, uint8 [3, H, W] both."""
    return to_levels(model(to_float(image[None], device_of(model)))[0])
