"""The attack loop, written once; an attack is a subclass, in a module of its name, that overrides a hook."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from attack.named_class import class_of
from attack.tasks import Task
from attack.tasks.classify import Classify
from params import UserError, attacks, split_attack

Norm = Literal["linf", "l2"]


class Attack:
    """Change images within eps so that a model's answer is the label, or no longer is.

    Args:
        model: pixels, float [N, 3, H, W] in [0, 1], to the task's logits [N, …], or [views, N, …] where several
            platforms or classifiers are attacked at once. What stands for a platform goes in front of the
            classifier, so that attacks know nothing of codecs.
        eps: the largest change. L-infinity: of a pixel's colour, grey levels (0-255). L2: the root mean square
            over an image's pixels and colours, grey levels, so that one eps means the same at every size.
        steps: gradient steps.
        step_size: grey levels a step, measured as eps is; None: eps / steps.
        momentum: the share of the last direction that is carried on, where an attack has any.
        targeted: towards the labels; False: away from them.
        norm: in which eps is measured.
        task: what the model is asked.
    """

    def __init__(
        self,
        model: Callable[[Tensor], Tensor],
        *,
        eps: float,
        steps: int = 10,
        step_size: float | None = None,
        momentum: float = 1.0,
        targeted: bool = True,
        norm: Norm = "linf",
        task: Task | None = None,
    ) -> None:
        self.model, self.eps, self.steps = model, eps, steps
        self.step_size = eps / steps if step_size is None else step_size
        self.momentum, self.targeted, self.norm = momentum, targeted, norm
        self.task = task or Classify()

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """Attack a batch.

        Args:
            images: float [N, 3, H, W], whole grey levels over 255.
            labels: int64 [N], the targets or the labels to leave.

        Returns:
            Whole grey levels over 255 again, rounded; no image is further than eps from its original.
        """
        originals = (images * 255).round()
        levels, direction = self.start(originals), torch.zeros_like(originals)
        for index in range(self.steps):
            ahead = self.lookahead(levels, direction)
            direction = self.direction(self.gradient(ahead / 255, labels), direction)
            levels = self.project(self.step(levels, direction, index), originals)
        return self.whole(levels, originals) / 255

    def start(self, originals: Tensor) -> Tensor:
        """Return the grey levels from which to set out."""
        return originals

    def lookahead(self, levels: Tensor, direction: Tensor) -> Tensor:  # noqa: ARG002
        """Return the grey levels at which to take the gradient, given the last direction, which is zero at first."""
        return levels

    def objective(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return what the attack raises: the task's objective."""
        return self.task.objective(logits, labels, targeted=self.targeted)

    def gradient(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the objective's gradient by the images."""
        images = images.detach().requires_grad_()
        logits = self.model(images)
        self.observe(images, logits.detach(), labels)
        return torch.autograd.grad(self.objective(logits, labels), images)[0]

    def observe(self, images: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Take note of what the model said of the images that a gradient is taken at."""

    def direction(self, gradient: Tensor, last: Tensor) -> Tensor:  # noqa: ARG002
        """Return where to go, given the gradient and the last direction, which is zero at first."""
        return gradient

    def step(self, levels: Tensor, direction: Tensor, index: int) -> Tensor:  # noqa: ARG002
        """Move grey levels one step in a direction; the loop puts them back within eps and 0 to 255."""
        return levels + self.step_size * self.steepest(direction)

    def steepest(self, direction: Tensor) -> Tensor:
        """Return the step of size 1 that goes furthest in a direction, in the attack's norm."""
        if self.norm == "linf":
            return direction.sign()
        return direction / _root_mean_square(direction).clamp(min=1e-30).to(direction)

    def project(self, levels: Tensor, originals: Tensor) -> Tensor:
        """Put grey levels back within eps of the originals and within 0 to 255."""
        if self.norm == "linf":
            lowest, highest = (originals - self.eps).clamp(min=0), (originals + self.eps).clamp(max=255)
            return levels.clamp(lowest, highest)
        change = levels - originals
        shrink = (self.eps / _root_mean_square(change).clamp(min=1e-30)).clamp(max=1).to(change)
        return (originals + shrink * change).clamp(0, 255)

    def whole(self, levels: Tensor, originals: Tensor) -> Tensor:
        """Round to whole grey levels without leaving eps: where rounding would, the fractions are dropped instead."""
        change = (levels - originals).round()
        if self.norm == "linf":
            limit = math.floor(self.eps)
            return originals + change.clamp(-limit, limit)
        towards_zero = (levels - originals).trunc()
        within = _root_mean_square(change) <= self.eps
        return originals + torch.where(within, change, towards_zero)


def _root_mean_square(images: Tensor) -> Tensor:
    """Return [N, 1, 1, 1]; in double precision, so that a bound that holds on paper holds here."""
    return images.double().square().mean(dim=(1, 2, 3), keepdim=True).sqrt()


def load(name: str) -> type[Attack]:
    """Find an attack's class by the name of its module, whatever surrogate stands before it; a UserError lists them."""
    module = (split_attack(name) or ("", ""))[1]
    if module not in attacks():
        raise UserError(
            f"No attack {name!r}. There are {', '.join(attacks())}, each plain or through a surrogate, as in"
            " comreadv_mim, diff75_mim or average_bim."
        )
    attack: type[Attack] = class_of("attack.attacks", module)
    return attack
