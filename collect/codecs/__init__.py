"""Real encoders and resizers by a short name, chains of them, and what a file tells of its codec."""

from collect.codecs import quantisation
from collect.codecs.chain import before_encoding, check, decoded, encode, media_type
from collect.codecs.steps.sizes import LARGEST_SIDE

__all__ = [
    "LARGEST_SIDE",
    "before_encoding",
    "check",
    "decoded",
    "encode",
    "media_type",
    "quantisation",
]
