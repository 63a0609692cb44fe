"""Try each step of an adapter alone, and tell which fails."""

from collect.doctor.run import examine_platform

__all__ = ["examine_platform"]
