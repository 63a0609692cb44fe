"""Ours: the strongest attack that we know through a platform's recompression."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from attack.attacks.mim import MIM

FIRST_STEP, LAST_STEP = (
    1.2,
    0.4,
)  # steps as shares of eps: large ones leave the photo's roundings, small ones keep what was won
SMOOTHING_SIGMA = 0.7  # pixels: what varies from one pixel to the next is what codecs take away
KERNEL_WIDTH = 5  # of the smoothing's kernel, pixels


class Best(MIM):
    """MIM with steps that fall, whole grey levels on the way, smoothed gradients, and the best iterate kept.

    It is made for a surrogate whose values are the platform's own (`train.bpda.Bpda`): the iterate that is kept is the
    one whose worst view succeeds by the largest margin, which is only worth something where the surrogate tells the
    truth. docs/attacks.md has what each part is worth. `step_size` has no effect.
    """

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """Attack a batch; see Attack. One pass more than `steps` looks at the last iterate."""
        self.kept, self.lead = images, torch.full_like(labels, -torch.inf, dtype=torch.float32)
        last = super().__call__(images, labels)
        with torch.no_grad():
            self.observe(last, self.model(last), labels)
        return self.kept

    def observe(self, images: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Keep the images that lead by more than those kept before."""
        lead = self.task.margin(logits, labels, targeted=self.targeted).to(self.lead)
        better = lead > self.lead
        self.kept = torch.where(better.view(-1, 1, 1, 1), images.detach(), self.kept)
        self.lead = torch.where(better, lead, self.lead)

    def gradient(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the gradient, smoothed."""
        return smoothed(super().gradient(images, labels))

    def step(self, levels: Tensor, direction: Tensor, index: int) -> Tensor:
        """Move by a step that falls evenly from the first to the last, to whole grey levels."""
        share = FIRST_STEP + (LAST_STEP - FIRST_STEP) * index / max(1, self.steps - 1)
        return (levels + share * self.eps * self.steepest(direction)).round()

    def project(self, levels: Tensor, originals: Tensor) -> Tensor:
        """Put grey levels back within eps, whole: every iterate may be the one that is kept."""
        return self.whole(super().project(levels, originals), originals)


def smoothed(gradient: Tensor) -> Tensor:
    """Blur a float [N, C, H, W] by a Gaussian, mirrored at its border.

    To the bit what torchvision's gaussian_blur gives, whose import takes as long as all the rest.
    """
    channels, reach = gradient.shape[1], KERNEL_WIDTH // 2
    far = reach / math.sqrt(2)  # so that the exponent needs no half
    offsets = torch.linspace(-far, far, KERNEL_WIDTH, dtype=gradient.dtype, device=gradient.device)
    line = (offsets / SMOOTHING_SIGMA).square().neg().softmax(0)
    kernel = torch.outer(line, line).expand(channels, 1, KERNEL_WIDTH, KERNEL_WIDTH)
    return functional.conv2d(functional.pad(gradient, [reach] * 4, mode="reflect"), kernel, groups=channels)
