"""How far a ComModel is from its platform."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from itertools import groupby, islice

import torch
from torch import Tensor, nn

from train.data.pairs import Pairs
from train.data.perturbations import Kind, perturbed_pairs
from train.device import device_of
from train.layers.encoder import Chain
from train.tensors import mean_absolute_difference, scaled, to_float, to_levels

BATCH_IMAGES = 8
MAX_PERTURBED_IMAGES = 32  # test images; each costs several passes through the model

# original and rendition, uint8 [3, H, W]; what of the latter doesn't count, a fourth channel tells
ImagePairs = Iterable[tuple[Tensor, Tensor]]


@torch.no_grad()
def mean_absolute_error(model: nn.Module | None, images: ImagePairs) -> float:
    """Measure how far a model's output, rounded to uint8, is from the renditions, in grey levels.

    Args:
        model: in evaluation mode; None: the identity, which is to say how far the originals are.
        images: uint8 originals and renditions, which may differ in size from pair to pair; a rendition that has
            not the output's size is brought to it by Lanczos.
    """
    errors = []
    for originals, renditions in batches_of_one_size(images):
        outputs = torch.stack(originals)
        if model is not None:
            outputs = to_levels(model(to_float(outputs, device_of(model))))
        errors += [
            mean_absolute_difference(output, scaled(rendition, *output.shape[-2:]))
            for output, rendition in zip(outputs, renditions, strict=True)
        ]
    return statistics.fmean(errors)


def batches_of_one_size(images: ImagePairs) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Give a few originals of one size at a time, and their renditions: some layers take little longer for more."""
    for _, group in groupby(images, key=lambda pair: pair[0].shape):
        while batch := list(islice(group, BATCH_IMAGES)):
            originals, renditions = zip(*batch, strict=True)
            yield list(originals), list(renditions)


def perturbed_error(model: nn.Module, test: Pairs, chain: Chain, eps: float, kind: Kind, seed: int) -> float:
    """Measure the error on test images with a change on them that the real chain processed, in grey levels."""
    originals = (original for original, _ in test.some(MAX_PERTURBED_IMAGES))
    images = perturbed_pairs(model, originals, chain, eps, kind, seed=seed, on=device_of(model))
    return mean_absolute_error(model, images)
