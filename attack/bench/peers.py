"""The published peers' own code from their packages, behind the interface of our attacks, for a side-by-side table."""

from __future__ import annotations

import importlib
import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from attack.attacks.mim import MIM
from params import UserError

TORCHATTACKS = "pip install --no-deps torchattacks==3.5.1"
FOOLBOX = 'pip install --editable ".[sample]"'
INSTALL_KORNIA = 'pip install --editable ".[bench]"'


class Peer(ABC):
    """Change images within eps, L-infinity, by somebody else's attack; nothing is random.

    Args:
        model: pixels, float [N, 3, H, W] in [0, 1], to logits [N, classes], in evaluation mode.
        eps: the largest change of a pixel's colour, grey levels (0-255).
        steps: gradient steps.
        step_size: grey levels a step; None: eps / steps, as the method's authors have it.
        momentum: the share of the last direction that is carried on.
        targeted: towards the labels; False: away from them.

    Attributes:
        gradient_evaluations: the backward passes through the model in the last call, counted.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        eps: float,
        steps: int = 10,
        step_size: float | None = None,
        momentum: float = 1.0,
        targeted: bool = True,
    ) -> None:
        self.model, self.eps, self.steps = Counted(model), eps, steps
        self.step_size = eps / steps if step_size is None else step_size
        self.momentum, self.targeted = momentum, targeted

    @property
    def gradient_evaluations(self) -> int:
        return self.model.backward_passes

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """Attack a batch.

        Args:
            images: float [N, 3, H, W], whole grey levels over 255.
            labels: int64 [N], the targets or the labels to leave.

        Returns:
            Whole grey levels over 255 again, rounded; no colour of a pixel is further than eps from the images'.
        """
        self.model.backward_passes = 0
        originals, limit = (images * 255).round(), math.floor(self.eps)
        # torchattacks truncates where it saves, and foolbox saves nothing: all peers are rounded here as ours are
        levels = torch.round(self.run(images, labels).detach() * 255)
        change = (levels - originals).nan_to_num(0)  # torchattacks divides by a gradient's norm, even if it is 0
        return (originals + change.clamp(-limit, limit)).clamp(0, 255) / 255

    @abstractmethod
    def run(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the last iterate as the package leaves it."""


class TorchattacksMifgsm(Peer):
    """torchattacks' MIFGSM: the gradient over its mean absolute value, summed up, and the sum's sign."""

    def run(self, images: Tensor, labels: Tensor) -> Tensor:
        attack = _package("torchattacks", TORCHATTACKS).MIFGSM(
            self.model, eps=self.eps / 255, alpha=self.step_size / 255, steps=self.steps, decay=self.momentum
        )
        attack.set_device(images.device)
        if self.targeted:
            attack.set_mode_targeted_by_label(quiet=True)
        adversarial: Tensor = attack(images, labels)
        return adversarial


class FoolboxMifgsm(Peer):
    """foolbox's LinfMomentumIterativeFastGradientMethod: the gradient's signs, summed up, and the sum's sign.

    Where signs cancel out a pixel rests for a step, as neither the paper's equation 6 nor torchattacks has it.
    """

    def run(self, images: Tensor, labels: Tensor) -> Tensor:
        foolbox = _package("foolbox", FOOLBOX)
        attack = foolbox.attacks.LinfMomentumIterativeFastGradientMethod(
            momentum=self.momentum, abs_stepsize=self.step_size / 255, steps=self.steps, random_start=False
        )
        criterion = foolbox.criteria.TargetedMisclassification if self.targeted else foolbox.criteria.Misclassification
        model = foolbox.PyTorchModel(self.model, bounds=(0, 1), device=images.device)
        iterate: Tensor = attack(model, images, criterion(labels), epsilons=self.eps / 255)[0]
        return iterate


class KorniaMim(Peer):
    """Our MIM through kornia's differentiable JPEG.

    Args:
        quality: of the JPEG, 1 to 100.
    """

    def __init__(self, model: nn.Module, *, quality: float = 75, **settings: Any) -> None:
        super().__init__(model, **settings)
        self.surrogate = nn.Sequential(KorniaJpeg(quality), self.model)

    def run(self, images: Tensor, labels: Tensor) -> Tensor:
        return MIM(
            self.surrogate,
            eps=self.eps,
            steps=self.steps,
            step_size=self.step_size,
            momentum=self.momentum,
            targeted=self.targeted,
        )(images, labels)


class KorniaJpeg(nn.Module):
    """kornia's differentiable JPEG with the standard tables, to be put in front of a classifier.

    4:2:0 alone; sides that are no multiple of 16 are padded by kornia itself from 0.9 on.
    """

    quality: Tensor

    def __init__(self, quality: float) -> None:
        super().__init__()
        self.codec = _package("kornia.enhance", INSTALL_KORNIA).JPEGCodecDifferentiable()
        self.register_buffer("quality", torch.tensor([float(quality)]), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        decoded: Tensor = self.codec(images, self.quality)
        return decoded


class Counted(nn.Module):
    """Count the backward passes through a model."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.backward_passes = model, 0
        self.training = model.training  # torchattacks puts the model back into the mode that it reads here

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images)
        if logits.requires_grad:
            logits.register_hook(self._count)  # type: ignore[no-untyped-call]  # torch's own
        return logits

    def _count(self, gradient: Tensor) -> None:  # noqa: ARG002
        self.backward_passes += 1


PEERS: dict[str, type[Peer]] = {
    "torchattacks_mifgsm": TorchattacksMifgsm,
    "foolbox_mifgsm": FoolboxMifgsm,
    "kornia_mim": KorniaMim,
}


def _package(name: str, command: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UserError(f"The peer needs the package {error.name}. Run `{command}`.") from None
