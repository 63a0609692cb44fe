"""What a training step learns from: features of images, plain or with a change on them, and renditions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

import params
from train.measure import to_float
from train.pairs import Cache, Pairs, crops, opaque, scaled
from train.perturb import Chain, Kind, perturbed, serve

CROPS_PERTURBED = 4  # from each perturbed image, which costs more to make than a crop to learn
WINDOW = 64  # pixels; side of the part for which an adversarial change is made

Item = tuple[Tensor, Tensor]  # features [C, h, w], and the rendition in the output's size, uint8 [4, h, w]


class Sampler:
    """The training pairs, shuffled anew each epoch; all that is random comes from the seed and the step's number.

    Args:
        model: the ComModel that makes the features, and steers adversarial changes; in evaluation mode.
        chain: the platform's real chain, for perturbed inputs; None: it is not known, and there are none.
        on: where the model is.
    """

    def __init__(
        self, model: nn.Module, training: Pairs, settings: params.Train, chain: Chain | None, on: torch.device
    ) -> None:
        self.model, self.training, self.settings, self.chain, self.on = model, training, settings, chain, on
        self.steps = math.ceil(len(training) / settings.batch_size)  # an epoch
        self.cache = Cache()

    def batch(self, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return a step's features [N, C, h, w] and renditions, uint8 [N, 4, h, w]: aligned crops."""
        return crops(self._items(step, generator), self.settings.crop, generator)

    def _items(self, step: int, generator: torch.Generator) -> list[Item]:
        """Take the step's pairs, or a few of their originals with a change on them."""
        epoch, place = divmod(step, self.steps)
        order = torch.Generator().manual_seed(self.settings.seed + epoch)
        start, end = place * self.settings.batch_size, (place + 1) * self.settings.batch_size
        chosen = torch.randperm(len(self.training), generator=order)[start:end].tolist()
        share, half = torch.rand(2, generator=generator).tolist()
        if self.chain is None or share >= self.settings.perturbed:
            return [self.cache.get(index, lambda index: self.item(*self.training[index])) for index in chosen]
        kind: Kind = "noise" if half < 0.5 else "adversarial"
        few = chosen[: math.ceil(len(chosen) / CROPS_PERTURBED)]
        items = [self._perturbed(self.training[index][0], self.chain, kind, generator) for index in few]
        if self.settings.crop is None:
            return items
        return [items[place % len(items)] for place in range(len(chosen))]

    def _perturbed(self, original: Tensor, chain: Chain, kind: Kind, generator: torch.Generator) -> Item:
        eps = self.settings.perturbed_eps * float(torch.rand((), generator=generator))
        changed = perturbed(self.model, original, eps, kind, generator, self.on, WINDOW)
        return self.item(changed, serve(chain, changed))

    @torch.no_grad()
    def item(self, original: Tensor, rendition: Tensor) -> Item:
        """Make a pair's features, and bring its rendition to the output's size."""
        features: Tensor = self.model.fixed(to_float(original[None], self.on))[0].cpu()  # type: ignore[operator]
        return features, opaque(scaled(rendition, *features.shape[-2:]))
