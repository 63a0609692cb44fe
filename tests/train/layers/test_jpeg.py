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

from train.layers.jpeg import ROUNDINGS, cubic, jpeg, smooth

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


@given(st.integers(1, 19), st.integers(1, 19), st.sampled_from([*SAMPLINGS, "grey"]), st.sampled_from([*ROUNDINGS]))
@settings(max_examples=60, deadline=None)
def test_no_size_gives_nan_at_any_tables(height: int, width: int, sampling: str, rounding: str) -> None:
    images = torch.rand(3, 1 if sampling == "grey" else 3, height, width).requires_grad_()
    luma, chroma = torch.randint(1, 256, (2, 3, 8, 8))  # an image's tables differ from the next one's
    output = jpeg(images, luma, chroma, sampling=sampling, rounding=rounding)  # type: ignore[arg-type]
    output.sum().backward()
    assert output.shape == images.shape and output.isfinite().all() and output.min() >= 0 and output.max() <= 1
    assert images.grad is not None and images.grad.isfinite().all()


@pytest.mark.parametrize("step", [1, 255, 65535])
@pytest.mark.parametrize("sampling", [*SAMPLINGS, "grey"])
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_the_extreme_tables_leave_flat_images_finite(step: int, sampling: str, level: float) -> None:
    images = torch.full((1, 1 if sampling == "grey" else 3, 9, 17), level).requires_grad_()
    table = torch.full((8, 8), float(step))
    output = jpeg(images, table, table, sampling=sampling)  # type: ignore[arg-type]
    output.sum().backward()
    assert output.isfinite().all() and images.grad is not None and images.grad.isfinite().all()


def test_autocast_changes_nothing() -> None:
    images, table = tensor(photo(48, 64)), torch.full((8, 8), 9.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        lowered = jpeg(images, table, table)
    assert lowered.dtype == torch.float32 and torch.equal(lowered, jpeg(images, table, table))


def test_colour_without_a_chroma_table_is_refused() -> None:
    with pytest.raises(ValueError, match="chroma"):
        jpeg(torch.rand(1, 3, 8, 8), torch.ones(8, 8))


@pytest.mark.parametrize("rounding", [cubic, smooth])
def test_the_soft_roundings_gradients_are_their_own(rounding: object) -> None:
    places = torch.tensor([-2.3, -0.9, -0.2, 0.1, 0.45, 1.6], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rounding, places)
    assert torch.equal(rounding(torch.arange(-3.0, 4.0)).round(), torch.arange(-3.0, 4.0))  # type: ignore[operator]


@pytest.mark.parametrize("sampling", [*SAMPLINGS, "grey"])
@pytest.mark.parametrize("rounding", ["cubic", "smooth"])
def test_the_whole_gradient_is_the_differences_where_nothing_is_rounded_straight_through(
    monkeypatch: pytest.MonkeyPatch, rounding: str, sampling: str
) -> None:
    """With whole levels in between the output is a staircase, whose differences are 0 or infinite: take them out."""
    monkeypatch.setattr("train.layers.jpeg._round", lambda x: x)
    torch.manual_seed(3)
    images = 0.4 + 0.2 * torch.rand(1, 1 if sampling == "grey" else 3, 3, 9, dtype=torch.float64)  # far from the clamps
    luma, chroma = 5 + 20 * torch.rand(2, 8, 8, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: jpeg(x, luma, chroma, sampling=sampling, rounding=rounding),  # type: ignore[arg-type]
        images.requires_grad_(),
    )


@pytest.mark.parametrize("sampling", [*SAMPLINGS, "grey"])
def test_the_straight_through_gradient_is_that_of_the_jpeg_without_rounding(
    monkeypatch: pytest.MonkeyPatch, sampling: str
) -> None:
    torch.manual_seed(3)
    images = 0.4 + 0.2 * torch.rand(1, 1 if sampling == "grey" else 3, 11, 18, dtype=torch.float64)
    luma, chroma, upstream = torch.full((8, 8), 3.0), torch.full((8, 8), 3.0), torch.rand_like(images)

    def gradient() -> Tensor:
        inputs = images.clone().requires_grad_()
        output = jpeg(inputs, luma, chroma, sampling=sampling)  # type: ignore[arg-type]
        return torch.autograd.grad(output, inputs, upstream)[0]

    straight_through = gradient()
    monkeypatch.setattr("train.layers.jpeg._round", lambda x: x)
    monkeypatch.setitem(ROUNDINGS, "straight_through", lambda x: x)
    assert torch.allclose(straight_through, gradient(), rtol=0, atol=1e-12)
    if sampling in ("4:4:4", "grey"):  # then nothing but two transforms that undo each other is left
        assert torch.allclose(straight_through, upstream, rtol=0, atol=1e-3)


@pytest.mark.parametrize("quality", [25, 50, 75, 90])
@pytest.mark.parametrize(("grey", "difference", "cosine"), [(True, 0.5, 0.99), (False, 0.9, 0.9)])
def test_luma_and_its_gradient_are_kornias(quality: int, grey: bool, difference: float, cosine: float) -> None:
    """Kornia rounds the coefficients alone, by x³; its chroma differs: blurred as it shrinks, and 127.5 is neutral."""
    kornia = pytest.importorskip("kornia.enhance")
    image = photo(64, 96)
    _, (luma, chroma) = pillow(image, quality=quality)
    images = tensor(image.convert("L").convert("RGB") if grey else image).requires_grad_()
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    upstream = torch.rand(1, 64, 96, generator=torch.Generator().manual_seed(1))
    unscaled = torch.tensor([50.0])  # the quality at which kornia takes the tables as they are
    ours, theirs = (
        (output * weights).sum(1)
        for output in (
            jpeg(images, luma, chroma, rounding="cubic"),
            kornia.jpeg_codec_differentiable(images, unscaled, luma, chroma),
        )
    )
    gradients = [torch.autograd.grad(each, images, upstream)[0].flatten() for each in (ours, theirs)]
    assert 255 * (ours - theirs).abs().mean() < difference
    assert torch.cosine_similarity(*gradients, dim=0) > cosine
    assert gradients[0].norm().item() == pytest.approx(gradients[1].norm().item(), rel=0.05)
