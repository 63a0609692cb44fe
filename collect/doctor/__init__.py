"""Try each step of an adapter alone, and tell which fails."""

from collect.doctor.run import examine

__all__ = ["examine"]
