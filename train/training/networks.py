"""The network that is trained: as it begins, and as it is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

import params
from train import device
from train.emulator.model import Emulator
from train.models import checkpoint
from train.training.trainer import Trainer


class Trained(NamedTuple):
    """A network in evaluation mode, and what a checkpoint needs to rebuild it."""

    model: nn.Module
    name: str
    config: dict[str, Any]


def build(settings: params.Train, emulator: Emulator | None) -> nn.Module:
    """Build the untrained network of the settings, on the best device; the hybrid needs an emulator."""
    torch.manual_seed(settings.seed)
    model = checkpoint.build(settings.model, **config(settings, emulator))
    return model.to(device.best()).to(memory_format=torch.channels_last)


def config(settings: params.Train, emulator: Emulator | None) -> dict[str, Any]:
    """Return what `checkpoint.build` needs beside the network's name."""
    return {"emulator": emulator.model_dump(mode="json")} if settings.model == "hybrid" and emulator else {}


def finished(
    trainer: Trainer, settings: params.Train, emulator: Emulator | None, *, keep_residual: bool = False
) -> Trained:
    """Return a trainer's network; without a residual that gained nothing, unless it is to be kept."""
    found = Trained(trainer.model.eval(), settings.model, config(settings, emulator))
    if keep_residual or settings.model == "paper" or trainer.gained:
        return found
    found.config["residual"] = False
    model = checkpoint.build(found.name, **found.config)  # as it was before training, which was best
    return found._replace(model=model.to(trainer.on).to(memory_format=torch.channels_last).eval())


def warm_start(model: nn.Module, before: Path) -> bool:
    """Take over what an earlier checkpoint has learned, wherever it fits; tell whether anything did."""
    earlier = dict(checkpoint.load(before).named_parameters())
    fitting = False
    for name, parameter in model.named_parameters():
        if name in earlier and earlier[name].shape == parameter.shape:
            parameter.data.copy_(earlier[name].data)
            fitting = True
    return fitting


def parameter_count(model: nn.Module) -> int:
    """Count the numbers that are trained."""
    return sum(parameter.numel() for parameter in model.parameters())
