"""Images with a small change on them, as an attack makes them, for a ComModel to be trained and measured on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from train import device
from train.data.pairs import BLOCK
from train.layers.encoder import Chain, serve

ADVERSARIAL_STEPS = 3  # of the adversarial change
SMOOTHNESS_LEVELS = 5  # fields vary over 1, 2, 4, 8 or 16 pixels

Kind = Literal["noise", "adversarial"]


def perturbed(
    model: nn.Module,
    image: Tensor,
    eps: float,
    kind: Kind,
    generator: torch.Generator,
    on: torch.device,
    window: int | None = None,
) -> Tensor:
    """Add a change of at most `eps` grey levels to an image, uint8 [3, H, W] both.

    Args:
        model: the ComModel, in evaluation mode, its parameters fixed; it steers the adversarial kind alone.
        on: where the model is.
        window: side of the part of the image for which an adversarial change is made, then repeated over the rest,
            for much less time; a multiple of 16; None: all of it.
    """
    start = image[None].to(on, torch.float32) / 255
    limit = eps / 255
    if kind == "noise":
        change = noise(start, limit, generator)
    elif window is None:
        change = adversarial(model, start, limit, generator)
    else:
        part, (rows, columns) = window_of(start, window, generator)
        change = adversarial(model, part, limit, generator)[..., rows[:, None], columns]
    return ((start + change)[0].clamp(0, 1) * 255).round().to("cpu", torch.uint8)


def noise(images: Tensor, limit: float, generator: torch.Generator) -> Tensor:
    """Return random signs of one strength, pixel by pixel or in blots, [N, 3, H, W]."""
    return limit * field(images, generator).sign()


@torch.enable_grad()
def adversarial(model: nn.Module, images: Tensor, limit: float, generator: torch.Generator) -> Tensor:
    """Return an attack's change without a classifier, [N, 3, H, W].

    A classifier's gradient reaches the image through the ComModel: it is Jᵀv, with J the ComModel's Jacobian and
    v the gradient at its output. Here v is a random field of random smoothness, and a few steps follow Jᵀv's sign.
    """
    change = limit * field(images, generator).sign() / 2
    direction: Tensor | None = None
    for _ in range(ADVERSARIAL_STEPS):
        moved = (images + change).clamp(0, 1).requires_grad_()
        features = model.fixed(moved)  # type: ignore[operator]
        with device.autocast(images.device):
            outputs = model.learned(features).float()  # type: ignore[operator]
        if direction is None:
            direction = field(outputs, generator)
        (gradient,) = torch.autograd.grad((outputs * direction).sum(), moved)
        change = (change + limit / 2 * gradient.sign()).clamp(-limit, limit)
    return change


def field(like: Tensor, generator: torch.Generator) -> Tensor:
    """Draw normal numbers of a tensor's shape [N, C, H, W] that vary over 1, 2, 4, 8 or 16 pixels."""
    scale = 2 ** int(torch.randint(SMOOTHNESS_LEVELS, (), generator=generator))
    height, width = like.shape[-2:]
    coarse = torch.randn(*like.shape[:2], -(-height // scale), -(-width // scale), generator=generator)
    fine = F.interpolate(coarse, scale_factor=scale, mode="bilinear") if scale > 1 else coarse
    return fine[..., :height, :width].to(like.device)


def window_of(images: Tensor, window: int, generator: torch.Generator) -> tuple[Tensor, list[Tensor]]:
    """Cut a random window on the codec's grid; tell which of its rows and columns each pixel gets."""
    indices = []
    for axis, length in ((-2, images.shape[-2]), (-1, images.shape[-1])):
        side = min(window, length)
        start = BLOCK * int(torch.randint((length - side) // BLOCK + 1, (), generator=generator))
        images = images.narrow(axis, start, side)
        indices.append((torch.arange(length) - start) % side)
    return images, indices


def perturbed_pairs(
    model: nn.Module,
    images: Iterable[Tensor],
    chain: Chain,
    eps: float,
    kind: Kind,
    *,
    seed: int,
    on: torch.device,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Give each image with a change of the full strength `eps` on it, and what the chain makes of that."""
    generator = torch.Generator().manual_seed(seed)
    for image in images:
        changed = perturbed(model, image, eps, kind, generator, on)
        yield changed, serve(chain, changed)
