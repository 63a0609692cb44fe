"""The real encoder and decoder as a layer: forward they run themselves, backward a gradient stands in for theirs."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from PIL import Image
from torch import Tensor, nn

from collect import codecs
from collect.codecs import quantisation
from collect.codecs.encoders import encoder
from train.layers.gradient_steering import Quantisation, steer
from train.layers.jpeg import StraightThrough
from train.tensors import from_pixels, to_picture


class RealEncoder(nn.Module):
    """Encode and decode as the encoder of a chain does, to the bit; the gradient is that of `with_gradient`.

    Args:
        codec: of collect.codecs, one encoder without steps, such as `webp:50:m4`; raises ValueError for another.
        tables: of luma and chroma, 64 steps each in rows, where the codec has a part `tables`.
    """

    def __init__(self, codec: str, tables: quantisation.Tables | None = None) -> None:
        super().__init__()
        codecs.check(codec, tables)
        self.codec, self.tables = codec, tables
        made = encoder(*codec.split(":"), tables=tables)
        self.transform, self.steps = made.transform, made.steps()

    def forward(self, images: Tensor) -> Tensor:
        """Return what is decoded, whole grey levels over 255, of images [N, 3, H, W] in [0, 1], any H and W."""
        return with_gradient(images, serve_all(self.decode, images), self.quantisation_of(images))

    def decode(self, image: Image.Image) -> Image.Image:
        """Encode and decode one image."""
        return codecs.decoded(image, self.codec, self.tables)

    def quantisation_of(self, images: Tensor) -> Quantisation | None:
        """Return how images are quantised; None where the encoder transforms in no blocks of one size."""
        if self.transform is None or self.steps is None:
            return self.transform and Quantisation(*self.transform)
        tables = (self.steps[0], self.steps[-1])
        luma, chroma = (images.new_tensor(table).view(1, 8, 8).expand(len(images), 8, 8) for table in tables)
        return Quantisation(*self.transform, (luma, chroma))


class RealSteps(nn.Module):
    """Do steps as the chain's own libraries do them, to the bit; the gradient is that of layers which come near.

    Args:
        steps: of collect.codecs, without the last encoder.
        layers: the same steps, differentiable, with images of the same sizes.
    """

    def __init__(self, steps: str, layers: nn.Module) -> None:
        super().__init__()
        self.chain, self.layers = f"{steps}+png", layers

    def forward(self, images: Tensor) -> Tensor:
        """Return whole grey levels over 255, [N, 3, h, w], of images [N, 3, H, W] in [0, 1]."""
        served = serve_all(lambda image: codecs.before_encoding(image, self.chain), images)
        answer: Tensor = StraightThrough.apply(self.layers(images), served)
        return answer


def with_gradient(images: Tensor, served: Tensor, quantisation: Quantisation | None) -> Tensor:
    """Return `served`, what an encoder made of the images, with a gradient by them.

    It is steered (gradient_steering.py) where the encoder transforms in blocks of one size, else the identity's.
    """
    if quantisation is not None:
        return steer(images, served, quantisation)
    answer: Tensor = StraightThrough.apply(images, served)
    return answer


@torch.no_grad()
def serve_all(chain: Chain, images: Tensor) -> Tensor:
    """Send a batch through a real chain, several images at a time, on the CPU.

    Args:
        images: float [N, 3, H, W] in [0, 1], on any device; rounded to whole grey levels for the chain.

    Returns:
        [N, 3, h, w], whole grey levels over 255, on the images' device.
    """
    levels = (images * 255).round().clamp(0, 255).to("cpu", torch.uint8)
    # encoders leave Python alone while they work, but for Pillow's JPEG 2000
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return torch.stack(list(pool.map(lambda each: serve(chain, each), levels))).to(images) / 255


Chain = Callable[[Image.Image], Image.Image]  # a real one: from the image as uploaded to the image as served


def serve(chain: Chain, image: Tensor) -> Tensor:
    """Return what a chain makes of an image, uint8 [3, H, W] both."""
    return from_pixels(chain(to_picture(image)).convert("RGB"))
