"""Projected gradient descent."""

import torch
from torch import Tensor

from attack.attacks.base import Attack

SEED = 2012  # of the start, the same for every image, so that none depends on its batch


class PGD(Attack):
    """Take BIM's steps from a random start within eps (Madry et al., arXiv:1706.06083)."""

    def start(self, originals: Tensor) -> Tensor:
        """Add noise, uniform within eps, to the originals."""
        generator = torch.Generator().manual_seed(SEED)
        noise = 2 * torch.rand(originals.shape[1:], generator=generator).to(originals) - 1
        return self.project(originals + self.eps * noise, originals)
