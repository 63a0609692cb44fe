"""The attack loop, written once; an attack is a subclass, in a module of its name, that overrides a hook."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from params import THROUGH_COM_MODEL, UserError, attacks


class Attack:
    """Change images within eps so that a model names a target, or no longer names the label.

    Args:
        model: pixels, float [N, 3, H, W] in [0, 1], to logits [N, classes]. A ComModel goes in front of the
            classifier, so that attacks know nothing of codecs.
        eps: the largest change of a pixel's colour, grey levels (0-255), L-infinity.
        steps: gradient steps.
        step_size: grey levels a step; None: eps / steps.
        momentum: the share of the last direction that is carried on, where an attack has any.
        targeted: towards the labels; False: away from them.
    """

    def __init__(
        self,
        model: Callable[[Tensor], Tensor],
        *,
        eps: int,
        steps: int = 10,
        step_size: float | None = None,
        momentum: float = 1.0,
        targeted: bool = True,
    ) -> None:
        self.model, self.eps, self.steps = model, eps, steps
        self.step_size = eps / steps if step_size is None else step_size
        self.momentum, self.targeted = momentum, targeted

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """Attack a batch.

        Args:
            images: float [N, 3, H, W], whole grey levels over 255.
            labels: int64 [N], the targets or the labels to leave.

        Returns:
            Whole grey levels over 255 again, rounded; no colour of a pixel is further than eps from the images'.
        """
        originals = (images * 255).round()
        lowest, highest = (originals - self.eps).clamp(min=0), (originals + self.eps).clamp(max=255)
        levels, direction = originals, torch.zeros_like(originals)
        for _ in range(self.steps):
            direction = self.direction(self.gradient(levels / 255, labels), direction)
            levels = self.step(levels, direction).clamp(lowest, highest)
        return levels.round() / 255

    def objective(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return what the attack raises, summed over the batch, so that no image depends on another."""
        cross_entropy = F.cross_entropy(logits, labels, reduction="sum")
        return -cross_entropy if self.targeted else cross_entropy

    def gradient(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the objective's gradient by the images."""
        images = images.detach().requires_grad_()
        return torch.autograd.grad(self.objective(self.model(images), labels), images)[0]

    def direction(self, gradient: Tensor, last: Tensor) -> Tensor:  # noqa: ARG002
        """Return where to go, given the gradient and the last direction, which is zero at first."""
        return gradient

    def step(self, levels: Tensor, direction: Tensor) -> Tensor:
        """Move grey levels one step in a direction; the loop puts them back within eps and 0 to 255."""
        return levels + self.step_size * direction.sign()


def load(name: str) -> type[Attack]:
    """Find an attack's class by its module's name, `comreadv_` before it or not; a UserError lists them."""
    module = name.removeprefix(THROUGH_COM_MODEL)
    if module not in attacks():
        raise UserError(
            f"No attack {name!r}. There are {', '.join(attacks())}, each plain or with {THROUGH_COM_MODEL} before it."
        )
    members = vars(importlib.import_module(f"attack.{module}"))
    found: type[Attack] = next(members[each] for each in members if each.lower() == module.replace("_", ""))
    return found
