"""Fast gradient sign method."""

from __future__ import annotations

from typing import Any

from attack.attacks.base import Attack


class FGSM(Attack):
    """Take one step of eps along the gradient's sign (Goodfellow et al., arXiv:1412.6572).

    `steps` and `step_size` have no effect.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings | {"steps": 1, "step_size": None})
