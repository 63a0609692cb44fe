"""The steps of a codec chain as differentiable layers."""

from train.layers.encoder import Chain, RealEncoder
from train.layers.jpeg import StraightThrough
from train.layers.steps import Jpeg

__all__ = ["Chain", "Jpeg", "RealEncoder", "StraightThrough"]
