from pathlib import Path

import foolbox
import pytest
import torch
from PIL import Image
from torch import nn


@pytest.fixture(scope="session")
def photos() -> list[tuple[Image.Image, int]]:
    """The ImageNet photos of foolbox's wheel at 224x224, and their classes."""
    files = sorted((Path(foolbox.__file__).parent / "data").glob("imagenet_*.jpg"))
    return [
        (Image.open(file).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC), int(file.stem.split("_")[2]))
        for file in files
    ]


@pytest.fixture(scope="session")
def small_net() -> nn.Module:
    """A small smooth network with ten classes, for images of any size."""
    torch.manual_seed(7)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).requires_grad_(False)
