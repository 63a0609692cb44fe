"""The differentiable JPEG is Pillow's encoder and decoder, with a gradient."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data
from torch import Tensor

from train.jpeg import ROUNDINGS, cubic, jpeg, smooth

PHOTO = data.astronaut()
SAMPLINGS = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}


def photo(height: int, width: int, top: int = 40, left: int = 180) -> Image.Image:
    return Image.fromarray(PHOTO[top : top + height, left : left + width])


def tensor(image: Image.Image) -> Tensor:
    pixels = np.asarray(image)
    return torch.from_numpy(pixels.copy()).view(*pixels.shape[:2], -1).permute(2, 0, 1)[None] / 255


def pillow(image: Image.Image, **how: object) -> tuple[Tensor, list[Tensor]]:
    """Encode and decode by Pillow; return the pixels and the file's own tables."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **how)
    with Image.open(buffer) as decoded:
        tables = decoded.quantization  # type: ignore[attr-defined]
        return tensor(decoded), [torch.tensor(tables[key], dtype=torch.float32).view(8, 8) for key in sorted(tables)]


@pytest.mark.parametrize("quality", [10, 25, 50, 75, 85, 95])
@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("size", [(224, 224), (33, 47), (17, 16), (7, 130)])
def test_the_hard_forward_pass_is_pillows(quality: int, sampling: str, size: tuple[int, int]) -> None:
    image = photo(*size)
    expected, (luma, chroma) = pillow(image, quality=quality, subsampling=SAMPLINGS[sampling])
    output = jpeg(tensor(image), luma, chroma, sampling=sampling)  # type: ignore[arg-type]
    assert output.shape == expected.shape
    assert 255 * (output - expected).abs().mean() < 0.001  # bit for bit, but for a stray tie


@pytest.mark.parametrize("quality", [10, 50, 95])
def test_grey_is_pillows_too(quality: int) -> None:
    image = photo(61, 90).convert("L")
    expected, (luma,) = pillow(image, quality=quality)
    assert 255 * (jpeg(tensor(image), luma, sampling="grey") - expected).abs().mean() < 0.001


def test_each_image_has_its_own_tables() -> None:
    image = photo(64, 64)
    tables = [pillow(image, quality=quality)[1] for quality in (30, 90)]
    luma, chroma = (torch.stack([each[kind] for each in tables]) for kind in (0, 1))
    together = jpeg(tensor(image).repeat(2, 1, 1, 1), luma, chroma)
    for index, (first, second) in enumerate(tables):
        assert torch.equal(together[index : index + 1], jpeg(tensor(image), first, second))


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("sampling", [*SAMPLINGS, "grey"])
def test_gradients_reach_every_pixel_and_are_finite(rounding: str, sampling: str) -> None:
    images = (tensor(photo(24, 40))[:, : 1 if sampling == "grey" else 3] * 0.8 + 0.1).requires_grad_()
    table = torch.full((8, 8), 3.0)
    weights = torch.rand(24, 40)
    jpeg(images, table, table, sampling=sampling, rounding=rounding).mul(weights).sum().backward()  # type: ignore[arg-type]
    assert images.grad is not None and images.grad.isfinite().all()
    assert (images.grad != 0).float().mean() > 0.9


@given(st.integers(1, 65535), st.integers(1, 19), st.integers(1, 19), st.sampled_from([*SAMPLINGS, "grey"]))
@settings(max_examples=60, deadline=None)
def test_no_table_and_no_size_gives_nan(step: int, height: int, width: int, sampling: str) -> None:
    images = torch.rand(1, 1 if sampling == "grey" else 3, height, width).requires_grad_()
    table = torch.full((8, 8), float(step))
    output = jpeg(images, table, table, sampling=sampling)  # type: ignore[arg-type]
    output.sum().backward()
    assert output.shape == images.shape and output.isfinite().all() and output.min() >= 0 and output.max() <= 1
    assert images.grad is not None and images.grad.isfinite().all()


@pytest.mark.parametrize("rounding", [cubic, smooth])
def test_the_soft_roundings_gradients_are_their_own(rounding: object) -> None:
    places = torch.tensor([-2.3, -0.9, -0.2, 0.1, 0.45, 1.6], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rounding, places)
    assert torch.equal(rounding(torch.arange(-3.0, 4.0)).round(), torch.arange(-3.0, 4.0))  # type: ignore[operator]
