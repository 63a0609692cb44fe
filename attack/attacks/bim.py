"""Basic iterative method."""

from attack.attacks.base import Attack


class BIM(Attack):
    """Take many small steps, each along the gradient's sign (Kurakin et al., arXiv:1607.02533).

    This is the loop as it stands: no hook differs.
    """
