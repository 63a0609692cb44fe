"""Variance tuning."""

import torch
from torch import Tensor

from attack.attacks.mim import MIM

NEIGHBOURS = 4  # gradients beside each iterate's own; the paper takes 20
REACH = 1.5  # of the neighbours, as a multiple of eps
SEED = 2012


class VMI(MIM):
    """MIM on gradients corrected by their variance around the last iterate (VMI-FGSM, Wang and He, arXiv:2103.15571).

    Each step takes 1 + NEIGHBOURS gradients.
    """

    def start(self, originals: Tensor) -> Tensor:
        """Forget the variance of the last batch."""
        self.variance = torch.zeros_like(originals)
        self.generator = torch.Generator().manual_seed(SEED)
        return super().start(originals)

    def gradient(self, images: Tensor, labels: Tensor) -> Tensor:
        """Add to the gradient its mean around the last iterate, less the gradient there."""
        own = super().gradient(images, labels)
        around = torch.zeros_like(own)
        for _ in range(NEIGHBOURS):
            noise = 2 * torch.rand(images.shape[1:], generator=self.generator).to(images) - 1
            around += super().gradient((images + REACH * self.eps / 255 * noise).clamp(0, 1), labels) / NEIGHBOURS
        tuned = own + self.variance
        self.variance = around - own
        return tuned
