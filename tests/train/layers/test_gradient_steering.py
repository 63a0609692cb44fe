"""The steered gradient: the served values, and weight where a coefficient is about to be rounded the other way."""

import io

import pytest
import torch
from PIL import Image
from skimage import data

from collect import codecs
from collect.codecs import quantisation
from train.layers.gradient_steering import Quantisation, steer
from train.layers.transforms import dct_matrix
from train.models.hybrid import Hybrid
from train.tensors import from_pixels

PHOTO = torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None, :, 40:120, 150:262]


def serve(levels: torch.Tensor, codec: str) -> torch.Tensor:
    encoded = codecs.encode(Image.fromarray(levels[0].permute(1, 2, 0).numpy()), codec)
    with Image.open(io.BytesIO(encoded)) as image:
        return from_pixels(image.convert("RGB"))[None] / 255


def grey_block(coefficient: float) -> torch.Tensor:
    """An 8×8 grey image with one coefficient, at row 1 and column 2, of an orthonormal DCT."""
    dct = dct_matrix(8, torch.zeros(1))
    block = torch.zeros(8, 8)
    block[1, 2] = coefficient
    return ((dct.T @ block @ dct + 128) / 255).expand(1, 3, 8, 8)


@pytest.mark.parametrize(("share", "weight"), [(0.0, 0.0), (0.25, 1.0), (0.5, 2.0)])
def test_a_coefficient_counts_by_how_near_it_is_to_the_next_level(share: float, weight: float) -> None:
    step = 40.0
    images, served = grey_block((2 + share) * step).clone().requires_grad_(), grey_block(2 * step)
    quantisation = Quantisation(8, (1, 1), (torch.full((1, 8, 8), step), torch.full((1, 8, 8), step)))
    upstream = grey_block(30.0) - grey_block(0.0)
    (gradient,) = torch.autograd.grad(steer(images, served, quantisation), images, upstream)
    of_luma = 3 * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)  # the colours' own share rests on a level: weight 0
    assert torch.allclose(gradient, weight * of_luma * upstream, atol=1e-5)


@pytest.mark.parametrize("codec", ["jpeg:50", "jpeg:85:444", "webp:50", "avif:50", "jp2:10"])
def test_the_value_is_what_was_served_and_the_gradient_covers_the_image(codec: str) -> None:
    hybrid = Hybrid(
        {"chain": codec, "tables": [], "thresholds": None, "identified": True, "format": "JPEG", "mae": 0.0}
    )
    images = (PHOTO / 255).requires_grad_()
    served = serve(PHOTO, codec)
    steered = hybrid.steered(images, served)
    assert torch.equal(steered, served)
    (gradient,) = torch.autograd.grad(steered, images, torch.rand_like(served))
    assert gradient.shape == images.shape and gradient.isfinite().all()
    assert (gradient.abs().sum(dim=1) > 0).float().mean() > 0.95


def test_steps_before_the_encoder_are_differentiated_as_they_are() -> None:
    hybrid = Hybrid({"chain": "resize:0.5+png", "tables": [], "thresholds": None, "identified": True})
    images = (PHOTO / 255).requires_grad_()
    served = hybrid(images).detach()
    (gradient,) = torch.autograd.grad(hybrid.steered(images, served), images, torch.ones_like(served))
    (expected,) = torch.autograd.grad(hybrid(images), images, torch.ones_like(served))
    assert torch.allclose(gradient, expected)
    with pytest.raises(ValueError, match="not the same platform's"):
        hybrid.steered(images, images.detach())


def test_the_steered_gradient_says_better_than_the_straight_one_what_a_step_does_to_the_file() -> None:
    """A step along it raises a functional of the really encoded file by more."""
    tables = [torch.tensor(each).view(1, 8, 8).float() for each in quantisation.standard_tables(50)]
    functional = torch.randn(PHOTO.shape, generator=torch.Generator().manual_seed(3))
    functional = torch.nn.functional.avg_pool2d(functional, 3, stride=1, padding=1)
    served = serve(PHOTO, "jpeg:50")
    images = (PHOTO / 255).requires_grad_()
    steered = steer(images, served, Quantisation(8, (2, 2), (tables[0], tables[1])))
    (gradient,) = torch.autograd.grad(steered, images, functional)

    def gain(direction: torch.Tensor) -> float:
        moved = (PHOTO + 3 * direction.sign()).clamp(0, 255).to(torch.uint8)
        return float((functional * (serve(moved, "jpeg:50") - served)).sum())

    assert gain(gradient) > 1.2 * gain(functional) > 0
