"""Images as tensors, and back."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pairing.alignment import Pixels, mask_from_png, read_aligned, read_pixels
from pairing.database import Accepted


def read_image(file: Path | BytesIO, size: tuple[int, int] | None = None) -> Tensor:
    """Read an image as a uint8 [3, H, W] tensor; bring it to `size` (width, height) by Lanczos."""
    return from_pixels(read_pixels(file, size))


def read_placed(pair: Accepted, size: tuple[int, int]) -> Tensor:
    """Read a rendition as `Pairs` gives it, uint8 [3 or 4, H, W], for an original of a width and height."""
    if pair.alignment is None or pair.alignment.is_whole(size):
        pixels = read_pixels(pair.rendition)
    else:
        pixels = read_aligned(pair.rendition, size, pair.alignment)
    if pair.mask is None:
        return from_pixels(pixels)
    hidden = Image.fromarray(mask_from_png(pair.mask)).convert("L").resize(pixels.shape[1::-1], Image.Resampling.BOX)
    return from_pixels(np.dstack([pixels, np.where(np.asarray(hidden) == 0, 255, 0).astype(np.uint8)]))


def opaque(image: Tensor) -> Tensor:
    """Give an image [3 or 4, H, W] the fourth channel, where it has none: all of it counts."""
    return image if image.shape[0] == 4 else torch.cat([image, torch.full_like(image[:1], 255)])


def colours_and_counts(image: Tensor) -> tuple[Tensor, Tensor]:
    """Part a rendition [..., 3 or 4, H, W] into its colours and what counts of it: True or False, [..., 1, H, W]."""
    colours, counts = image[..., :3, :, :], image[..., 3:, :, :]
    return colours, counts == 255 if counts.shape[-3] else torch.ones_like(colours[..., :1, :, :], dtype=torch.bool)


def scaled(image: Tensor, height: int, width: int) -> Tensor:
    """Bring a uint8 [3 or 4, H, W] image to another size by Lanczos, as `read_image` does; what counts stays so."""
    if image.shape[-2:] == (height, width):
        return image
    colours = from_pixels(to_picture(image[:3]).resize((width, height), Image.Resampling.LANCZOS))
    if image.shape[0] == 3:
        return colours
    counts = Image.fromarray(image[3].numpy()).resize((width, height), Image.Resampling.BOX)
    return torch.cat([colours, torch.from_numpy(np.array(counts))[None]])


def mean_absolute_difference(first: Tensor, second: Tensor) -> float:
    """Return the mean absolute difference of an image and a rendition of one size, uint8, grey levels.

    A rendition's fourth channel, where it has one, tells what counts.
    """
    colours, counts = colours_and_counts(second)
    error = (first.int() - colours.int()).abs().float()
    return error.mean().item() if counts.all() else error.mean(-3, keepdim=True)[counts].mean().item()


def to_picture(image: Tensor) -> Image.Image:
    """Turn a uint8 [3, H, W] tensor into a Pillow image."""
    return Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())


def from_pixels(pixels: Image.Image | Pixels) -> Tensor:
    """Turn RGB pixels into a uint8 [3, H, W] tensor of its own memory."""
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1).contiguous()


def to_levels(images: Tensor) -> Tensor:
    """Round [0, 1] to uint8 grey levels, on the CPU."""
    return (images.clamp(0, 1) * 255).round().to("cpu", torch.uint8)


def to_float(images: Tensor, to: torch.device) -> Tensor:
    """Turn uint8 [N, 3, H, W] pixels into float32 in [0, 1] on a device, in the layout that convolutions prefer."""
    return images.to(to, torch.float32, memory_format=torch.channels_last) / 255
