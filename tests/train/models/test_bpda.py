"""BPDA answers as a real encoder does, to the bit, and differentiates as the ComModel does, to the bit."""

import io

import pytest
import torch
from PIL import Image
from skimage import data
from torch import Tensor, nn

from attack.attacks.mim import MIM
from train.models.bpda import Bpda
from train.models.com_model import ComModel
from train.tensors import from_pixels

PHOTO = torch.from_numpy(data.astronaut()).permute(2, 0, 1)


def webp(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "WEBP", quality=50)
    return Image.open(file)


def half(image: Image.Image) -> Image.Image:
    return webp(image.resize((image.width // 2, image.height // 2)))


def crops(count: int = 2) -> Tensor:
    """Crops whose levels are not whole, as an attack's iterates."""
    return torch.stack([PHOTO[:, 40 : 40 + 48, 150 + 32 * each :][..., :64] for each in range(count)]) / 255 + 0.3 / 255


@pytest.fixture
def com_model() -> ComModel:
    torch.manual_seed(5)
    return ComModel(init="he").eval().requires_grad_(False)


def test_the_value_is_the_real_chains_for_the_rounded_image(com_model: ComModel) -> None:
    images = crops()
    answers = Bpda(webp, com_model)(images)
    for image, answer in zip(images, answers, strict=True):
        levels = (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        assert torch.equal(answer, from_pixels(webp(Image.fromarray(levels))) / 255)
    assert not torch.equal(answers, com_model(images))


def test_the_gradient_is_the_com_models_at_the_same_images(com_model: ComModel) -> None:
    images, upstream = crops().requires_grad_(), torch.rand(2, 3, 48, 64)
    (ours,) = torch.autograd.grad(Bpda(webp, com_model)(images), images, upstream)
    (modelled,) = torch.autograd.grad(com_model(images), images, upstream)
    assert torch.equal(ours, modelled) and ours.abs().max() > 0


def test_iterates_beyond_black_and_white_are_clipped_for_the_chain_alone(com_model: ComModel) -> None:
    answers = Bpda(webp, com_model)(3 * crops() - 1)
    assert torch.equal(answers, Bpda(webp, com_model)((3 * crops() - 1).clamp(0, 1)))


def test_sizes_may_change_together_but_not_apart(com_model: ComModel) -> None:
    with pytest.raises(ValueError, match=r"the chain's image has 32×24 pixels, the ComModel's 64×48"):
        Bpda(half, com_model)(crops())
    assert Bpda(half, nn.AvgPool2d(2))(crops()).shape == (2, 3, 24, 32)


def test_an_attack_takes_it_as_its_surrogate() -> None:
    """What the attack gained is there on the real file, which the ComModel never saw the values of."""
    torch.manual_seed(5)
    classifier = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Tanh(), nn.Conv2d(8, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    model = nn.Sequential(Bpda(webp, ComModel()), classifier).eval().requires_grad_(False)
    images, targets = (crops() * 255).round() / 255, torch.tensor([3, 4])
    attack = MIM(model, eps=12, steps=4)
    before, after = (attack.objective(model(each), targets) for each in (images, attack(images, targets)))
    assert after > before
