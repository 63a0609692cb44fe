"""The ComModels, and how they are kept."""

from train.models import checkpoint
from train.models.bpda import Bpda
from train.models.hybrid import Hybrid

__all__ = ["Bpda", "Hybrid", "checkpoint"]
