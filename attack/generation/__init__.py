"""The adversarial test images of a platform, made and described."""

from attack.generation.generate import generate

__all__ = ["generate"]
