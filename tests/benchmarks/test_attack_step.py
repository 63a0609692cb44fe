"""What a step of an attack costs, bare and through each ComModel, in turn in one run."""

import time

import pytest
import torch
from torch import nn
from torchvision.models import resnet50

from attack.attacks.mim import MIM
from collect.codecs import quantisation
from train.models import checkpoint

IMAGES = torch.randint(0, 256, (16, 3, 224, 224)) / 255
TARGETS = torch.arange(16)
ROUNDS = 3
OTHERS = ("webp:75", "jp2:10", "avif:50")
LUMA, CHROMA = quantisation.standard_tables(75)
JPEG_75 = {
    "chain": "jpeg:tables:420",
    "tables": [{"quality": 75, "share": 1.0, "luma": LUMA, "chroma": CHROMA}],
    "thresholds": None,
    "format": "JPEG",
    "identified": True,
    "mae": 0.0,
    "exact": 1.0,
    "pairs": 8,
    "why": "told so",
}


def seconds(model: nn.Module) -> float:
    attack = MIM(model, eps=5, steps=1)
    start = time.perf_counter()
    attack(IMAGES, TARGETS)
    return time.perf_counter() - start


def test_a_step_through_the_hybrid_costs_little_more_than_a_bare_one(capsys: pytest.CaptureFixture[str]) -> None:
    classifier = resnet50().eval().requires_grad_(False).to(memory_format=torch.channels_last)
    com_models = {
        "the paper's net": checkpoint.build("paper"),
        "the hybrid": checkpoint.build("hybrid", emulator=JPEG_75),
        "the hybrid, not sure of its codec": checkpoint.build("hybrid", emulator=JPEG_75 | {"identified": False}),
        **{f"the hybrid, {chain}": checkpoint.build("hybrid", emulator=JPEG_75 | {"chain": chain}) for chain in OTHERS},
    }
    models: dict[str, nn.Module] = {"bare": classifier} | {
        name: nn.Sequential(model.to(memory_format=torch.channels_last), classifier).eval().requires_grad_(False)
        for name, model in com_models.items()
    }
    rounds = [{name: seconds(model) for name, model in models.items()} for _ in range(ROUNDS)]
    # the least of a few, in turn: other work on the machine only ever adds
    least = {name: min(each[name] for each in rounds) for name in models}
    with capsys.disabled():
        print("\none MIM step, ResNet50, 16 images at 224")
        for name in models:
            print(f"  {name}: {least[name]:.2f} s, {least[name] / least['bare']:.2f}×")
    assert least["the hybrid"] <= 1.35 * least["bare"]
