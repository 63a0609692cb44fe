"""Nesterov's momentum."""

from torch import Tensor

from attack.attacks.mim import MIM


class NI(MIM):
    """MIM that takes its gradient where the momentum is about to lead (NI-FGSM, Lin et al., arXiv:1908.06281)."""

    def lookahead(self, levels: Tensor, direction: Tensor) -> Tensor:
        """Go one step along the last direction before taking the gradient."""
        return levels + self.step_size * self.momentum * direction
