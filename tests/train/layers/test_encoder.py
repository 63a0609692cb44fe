"""The layer of a real encoder gives what is served, bit for bit, with a gradient in place of the encoder's own."""

import pytest
import torch
from crops import photo_crop
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from collect import codecs
from train.layers.encoder import RealEncoder, serve_all
from train.layers.gradient_steering import Quantisation, steer
from train.tensors import from_pixels, to_picture

CODECS = (
    "webp:50",
    "webp:30:m0",
    "jp2:10",
    "jp2:15:irreversible",
    "jp2:35dB",
    "avif:50",
    "avif:40:444:s8",
    "jpeg:75:ifast",
)


def batch(count: int = 3, side: int = 48) -> Tensor:
    return torch.stack([from_pixels(photo_crop(seed, side)) for seed in range(count)]) / 255


def real(images: Tensor, codec: str) -> Tensor:
    levels = (255 * images).round().to(torch.uint8)
    return torch.stack([from_pixels(codecs.decoded(to_picture(each), codec)) for each in levels]) / 255


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("size", [(48, 48), (37, 21), (1, 5)])
def test_each_image_of_a_batch_is_served_to_the_bit(codec: str, size: tuple[int, int]) -> None:
    images = batch()[..., : size[0], : size[1]]
    assert torch.equal(RealEncoder(codec)(images), real(images, codec))


@given(st.sampled_from(CODECS), st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_anything_is_served_to_the_bit(codec: str, height: int, width: int, seed: int) -> None:
    images = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(RealEncoder(codec)(images), real(images, codec))


@pytest.mark.parametrize("codec", [codec for codec in CODECS if not codec.startswith(("webp", "jpeg"))])
def test_the_gradient_is_the_identitys(codec: str) -> None:
    images, upstream = batch().requires_grad_(), torch.rand(3, 3, 48, 48)
    assert torch.equal(torch.autograd.grad(RealEncoder(codec)(images), images, upstream)[0], upstream)


@pytest.mark.parametrize("codec", ["webp:50", "webp:30:m0"])
def test_the_gradient_of_webp_is_steered(codec: str) -> None:
    images, upstream = batch().requires_grad_(), torch.rand(3, 3, 48, 48)
    (gradient,) = torch.autograd.grad(RealEncoder(codec)(images), images, upstream)
    expected = steer(images, real(images.detach(), codec), Quantisation(4, (2, 2)))
    assert torch.equal(gradient, torch.autograd.grad(expected, images, upstream)[0])
    assert not torch.equal(gradient, upstream)


@pytest.mark.parametrize(("sampling", "halved"), [("444", (1, 1)), ("422", (1, 2)), ("420", (2, 2))])
def test_the_gradient_of_a_jpeg_is_steered_by_its_tables(sampling: str, halved: tuple[int, int]) -> None:
    images, upstream = batch().requires_grad_(), torch.rand(3, 3, 48, 48)
    steps = [torch.tensor(table).view(1, 8, 8).expand(3, 8, 8) for table in codecs.quantisation.standard_tables(60)]
    codec = f"jpeg:60:{sampling}:ifast"
    (gradient,) = torch.autograd.grad(RealEncoder(codec)(images), images, upstream)
    expected = steer(images, real(images.detach(), codec), Quantisation(8, halved, (steps[0], steps[1])))
    assert torch.equal(gradient, torch.autograd.grad(expected, images, upstream)[0])


def test_values_between_and_beyond_grey_levels_are_rounded_and_clipped_for_the_encoder_alone() -> None:
    images = (batch() + 0.3 / 255) * 3 - 1
    assert torch.equal(RealEncoder("webp:50")(images), real(images.clamp(0, 1), "webp:50"))


def test_mixed_precision_and_the_layout_in_memory_change_nothing() -> None:
    images, layer = batch(), RealEncoder("webp:50")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = layer(images)
    assert mixed.dtype == torch.float32 and torch.equal(mixed, layer(images))
    assert torch.equal(layer(images.to(memory_format=torch.channels_last)), layer(images))
    assert layer(images.double()).dtype == torch.float64


def test_images_are_served_in_their_order_where_some_take_longer() -> None:
    images = torch.rand(8, 3, 2, 2)
    images[0] = 0

    def slow_to_the_first(image: Image.Image) -> Image.Image:
        if image.getpixel((0, 0)) == (0, 0, 0):
            codecs.encode(Image.effect_noise((300, 300), 90), "avif:50:s8")
        return image

    assert torch.equal(serve_all(slow_to_the_first, images), (255 * images).round() / 255)


@pytest.mark.parametrize("codec", ["nosuch:5", "webp:101", "sharpen:0.4", "resize:0.5+png"])
def test_what_is_no_encoder_is_refused_when_the_layer_is_built(codec: str) -> None:
    with pytest.raises(ValueError, match=r"codec|is no encoder"):
        RealEncoder(codec)
