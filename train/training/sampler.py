"""What a training step learns from: features of images, plain or with a change on them, and renditions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

import params
from train.data.pairs import Cache, Pairs, crops
from train.data.perturbations import Kind, perturbed
from train.layers.encoder import Chain, serve
from train.tensors import opaque, scaled, to_float
from train.training.process_group import ALONE, ProcessGroup

CROPS_PERTURBED = 4  # from each perturbed image, which costs more to make than a crop to learn
SEED_STRIDE = 400_000_009  # seeds of two processes in one step; PyTorch takes 32 bits of them
WINDOW_PX = 64  # pixels; side of the part for which an adversarial change is made

Item = tuple[Tensor, Tensor]  # features [C, h, w], and the rendition in the output's size, uint8 [4, h, w]


class Sampler:
    """The training pairs, shuffled anew each epoch; all that is random comes from the seed and the step's number.

    Args:
        model: the ComModel that makes the features, and steers adversarial changes; in evaluation mode.
        chain: the platform's real chain, for perturbed inputs; None: it is not known, and there are none.
        on: where the model is.
        process_group: the processes that part each step's images among them.
    """

    def __init__(
        self,
        model: nn.Module,
        training: Pairs,
        settings: params.Train,
        chain: Chain | None,
        on: torch.device,
        process_group: ProcessGroup = ALONE,
    ) -> None:
        self.model, self.training, self.settings, self.chain, self.on = model, training, settings, chain, on
        self.process_group = process_group
        self.steps = math.ceil(len(training) / settings.batch_size)  # an epoch
        self.cache = Cache()

    def batch(self, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return a step's features [N, C, h, w] and renditions, uint8 [N, 4, h, w]: aligned crops.

        A process for which no image is left gets one of which nothing counts.
        """
        chosen = self.process_group.share(whole := self._chosen(step))
        features, renditions = crops(self._items(list(chosen or whole[:1]), generator), self.settings.crop, generator)
        if not chosen:
            renditions[:, 3] = 0
        return features, renditions

    def _chosen(self, step: int) -> list[int]:
        """Choose the step's pairs."""
        epoch, place = divmod(step, self.steps)
        order = torch.Generator().manual_seed(self.settings.seed + epoch)
        start, end = place * self.settings.batch_size, (place + 1) * self.settings.batch_size
        chosen: list[int] = torch.randperm(len(self.training), generator=order)[start:end].tolist()
        return chosen

    def _items(self, chosen: list[int], generator: torch.Generator) -> list[Item]:
        """Take the chosen pairs, or a few of their originals with a change on them."""
        share, half = torch.rand(2, generator=generator).tolist()
        if self.process_group.rank:  # the kind of a step is the same for all processes, what is drawn for images isn't
            generator.manual_seed(generator.initial_seed() + SEED_STRIDE * self.process_group.rank)
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
        changed = perturbed(self.model, original, eps, kind, generator, self.on, WINDOW_PX)
        return self.item(changed, serve(chain, changed))

    @torch.no_grad()
    def item(self, original: Tensor, rendition: Tensor) -> Item:
        """Make a pair's features, and bring its rendition to the output's size."""
        features: Tensor = self.model.fixed(to_float(original[None], self.on))[0].cpu()  # type: ignore[operator]
        return features, opaque(scaled(rendition, *features.shape[-2:]))
