"""Pairs as tensors, with perturbed and synthetic ones."""

from train.data import synthetic_pairs
from train.data.pairs import Pairs, load_pairs

__all__ = ["Pairs", "load_pairs", "synthetic_pairs"]
