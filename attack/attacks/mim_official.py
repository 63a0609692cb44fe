"""The momentum method as the paper's own code has it."""

from torch import Tensor

from attack.attacks.base import Attack


class MIMOfficial(Attack):
    """Add up the signs of the gradients and step by their sum (wanggroupAI/ComReAdv).

    The talk's slide, r = sign(m r + gradient), degenerates where m is 1 and is not what that code does.
    """

    def direction(self, gradient: Tensor, last: Tensor) -> Tensor:
        """Add the gradient's steepest step to the last direction times the momentum."""
        return self.momentum * last + self.steepest(gradient)

    def step(self, levels: Tensor, direction: Tensor, index: int) -> Tensor:  # noqa: ARG002
        """Move by the sum itself, not by its sign."""
        return levels + self.step_size * direction
