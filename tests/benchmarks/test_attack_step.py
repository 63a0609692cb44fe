"""What a step of an attack costs, bare and through the ComModel; read the ratios within a group."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet50

from attack.mim import MIM
from train.com_model import ComModel

IMAGES = torch.randint(0, 256, (4, 3, 224, 224)) / 255
TARGETS = torch.arange(4)


@pytest.mark.benchmark(group="one MIM step, four images at 224")
@pytest.mark.parametrize("through", ["bare classifier", "through the ComModel"])
def test_step(benchmark: Callable[..., Tensor], through: str) -> None:
    classifier = resnet50().eval().requires_grad_(False)
    com_model = ComModel().eval().requires_grad_(False)
    model = classifier if through == "bare classifier" else nn.Sequential(com_model, classifier)
    attack = MIM(model, eps=5, steps=1)
    assert benchmark(attack, IMAGES, TARGETS).shape == IMAGES.shape
