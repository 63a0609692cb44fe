"""The JPEG 2000 layer against OpenJPEG."""

from __future__ import annotations

import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from collect import codecs
from tests.train.conftest import photo_crop
from train.data.tensors import from_pixels
from train.jpeg2000.bit_planes import join, split, truncate
from train.jpeg2000.openjpeg import inverse, jpeg2000, transform


def real(image: Image.Image, rate: float) -> Tensor:
    with Image.open(io.BytesIO(codecs.encode(image, f"jp2:{rate:g}"))) as served:
        return from_pixels(served.convert("RGB")) / 255


def error(first: Tensor, second: Tensor) -> float:
    return float(255 * (first - second).abs().mean())


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**32))
def test_the_wavelet_is_undone_exactly(height: int, width: int, seed: int) -> None:
    levels = torch.randint(-128, 128, (2, 3, height, width), generator=torch.Generator().manual_seed(seed)).float()
    assert torch.equal(inverse(transform(levels)), levels)


@pytest.mark.parametrize("size", [(224, 224), (150, 97)])
def test_code_blocks_make_up_their_band_and_all_passes_lose_nothing(size: tuple[int, int]) -> None:
    for bands in transform(torch.randint(-128, 128, (2, 3, *size)).float()):
        blocks = split(bands, [1.0] * len(bands))
        for joined, band in zip(join(blocks.magnitudes, bands), bands, strict=True):
            assert torch.equal(joined, band.abs())
        everything = torch.full(blocks.magnitudes.shape[:2], 3 * blocks.planes)
        assert torch.equal(truncate(blocks, everything), blocks.magnitudes)
        assert not truncate(blocks, torch.zeros_like(everything)).any()


@pytest.mark.parametrize("rate", [10, 20, 40])
@pytest.mark.parametrize("size", [(192, 192), (187, 131)])
def test_it_takes_away_three_quarters_of_the_identitys_error(rate: int, size: tuple[int, int]) -> None:
    images = [photo_crop(seed, 192).crop((0, 0, *size)) for seed in range(3)]
    originals = torch.stack([from_pixels(image) / 255 for image in images])
    served = torch.stack([real(image, rate) for image in images])
    assert error(jpeg2000(originals, rate), served) < 0.27 * error(originals, served)


def test_a_rate_that_everything_fits_in_changes_nothing() -> None:
    image = (from_pixels(photo_crop(0, 64)) / 255)[None]
    assert torch.equal(jpeg2000(image, 0.5), image)


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (16, 40)])
def test_tiny_images_go_through(size: tuple[int, int]) -> None:
    image = torch.rand(1, 3, *size)
    answer = jpeg2000(image, 10)
    assert answer.shape == image.shape and answer.isfinite().all() and 0 <= answer.min() <= answer.max() <= 1


def test_images_of_a_batch_do_not_touch_each_other() -> None:
    images = torch.stack([from_pixels(photo_crop(seed, 96)) / 255 for seed in range(3)])
    alone = torch.cat([jpeg2000(image[None], 15) for image in images])
    assert torch.equal(jpeg2000(images, 15), alone)


def test_the_gradient_is_the_identitys() -> None:
    image, upstream = torch.rand(1, 3, 32, 32, requires_grad=True), torch.rand(1, 3, 32, 32)
    assert torch.equal(torch.autograd.grad(jpeg2000(image, 10), image, upstream)[0], upstream)
