"""Momentum iterative method."""

from torch import Tensor

from attack.attacks.base import Attack


class MIM(Attack):
    """Step along the sign of an accumulated gradient (MI-FGSM, Dong et al., arXiv:1710.06081, eq. 6 and 7)."""

    def direction(self, gradient: Tensor, last: Tensor) -> Tensor:
        """Add the gradient, divided by its L1 norm, to the last direction times the momentum."""
        norm = gradient.abs().sum(dim=(1, 2, 3), keepdim=True)
        return self.momentum * last + gradient / norm.clamp(min=1e-30)  # a flat objective stays a zero
