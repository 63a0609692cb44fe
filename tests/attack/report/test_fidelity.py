"""Errors by frequency are those of known errors; sizes that differ are brought together."""

import numpy as np
import pytest
import torch
from torch import nn

from attack.report.fidelity import FREQUENCIES, measure_errors, respond, spectrum


@pytest.mark.parametrize(("down", "across", "frequency"), [(0, 0, 0.0), (0, 4, 0.25), (3, 0, 0.1875), (3, 4, 0.3125)])
def test_a_pattern_is_found_at_its_frequency(down: int, across: int, frequency: float) -> None:
    """A cosine of the DCT's own, across whole blocks: so many half-waves in 8 pixels each way."""
    rows, columns = np.arange(24) % 8, np.arange(40) % 8
    wave = np.outer(np.cos((2 * rows + 1) * down * np.pi / 16), np.cos((2 * columns + 1) * across * np.pi / 16))
    found = spectrum(np.round(1000 * wave).astype(np.int32)[None].repeat(3, axis=0))
    assert FREQUENCIES[found.argmax()] == frequency
    assert np.delete(found, found.argmax()).max() < 0.01 * found.max()


def test_white_noise_is_as_strong_at_every_frequency() -> None:
    noise = np.random.default_rng(1).normal(0, 20, (3, 804, 804)).round().astype(np.int32)
    assert spectrum(noise) == pytest.approx(20 * np.sqrt(2 / np.pi), rel=0.02)  # the mean |x| of a normal


def test_a_model_is_measured_against_what_came_back_and_each_image_counts_alike() -> None:
    class Darker(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images - 10 / 255

    pairs = [
        (torch.full((3, 16, 16), 100, dtype=torch.uint8), torch.full((3, 16, 16), 93, dtype=torch.uint8)),
        (torch.full((3, 64, 48), 50, dtype=torch.uint8), torch.full((3, 64, 48), 39, dtype=torch.uint8)),
    ]
    found = measure_errors(Darker(), pairs)
    assert (found.images, found.mae, found.identity_mae) == (2, 2.0, 9.0)
    assert found.spectrum[0] == pytest.approx(8 * 2)  # a block's first coefficient is 8 times its mean
    assert found.identity_spectrum[0] == pytest.approx(8 * 9) and found.spectrum[1:].max() < 1e-3


def test_a_rendition_of_another_size_is_brought_to_the_models_and_to_the_originals() -> None:
    original, rendition = torch.full((3, 32, 48), 90, dtype=torch.uint8), torch.full((3, 16, 24), 88, dtype=torch.uint8)
    shrink = nn.AvgPool2d(2)
    assert respond(shrink, original).shape == (3, 16, 24)
    assert measure_errors(shrink, [(original, rendition)]).mae == 2.0
    assert measure_errors(nn.Identity(), [(original, rendition)]).identity_mae == 2.0
