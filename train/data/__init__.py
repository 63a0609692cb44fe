"""Pairs as tensors, with perturbed and synthetic ones."""
