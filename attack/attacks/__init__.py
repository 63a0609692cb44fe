"""The attacks, one file each, on the one loop of base.py."""

from attack.attacks.base import Attack, Norm, load

__all__ = ["Attack", "Norm", "load"]
