"""Attack a batch of images by one attack, in whatever process."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor

import params
from attack import attacks, tasks
from attack.generation.adversarial import Adversarial
from attack.models.classifiers import Classifier
from attack.models.surrogates import Ensemble
from train import device
from train.tensors import to_picture

TAKEN_AS_THEY_ARE = {"steps", "step_size", "momentum", "norm"}  # settings, by an attack


@dataclass(frozen=True)
class Shard:
    """A batch and the attack that it goes to."""

    names: list[str]  # of the originals
    pixels: Tensor  # uint8 [N, 3, H, W]
    attack: str
    eps: int

    @property
    def files(self) -> list[str]:
        return [file_of(name, self.attack, self.eps) for name in self.names]


def file_of(name: str, attack: str, eps: int) -> str:
    """Name an original's adversarial image in the folder of all."""
    return f"eps{eps}/{attack}/{Path(name).stem}.png"


@dataclass(frozen=True)
class WorkerInit:
    """What a process needs before it attacks shards: the models, loaded once and sent whole."""

    settings: params.Attack
    judge: Classifier
    models: dict[str, Ensemble]  # by what the gradient passes through

    def __call__(self) -> Attacker:
        on = device.best()
        models = {name: model.to(on) for name, model in self.models.items()}
        return Attacker(self.settings, self.judge.to(on), models)


class Attacker:
    """Attack shards: a row and the PNG file of each image."""

    def __init__(self, settings: params.Attack, judge: Classifier, models: dict[str, Ensemble]) -> None:
        self.settings, self.judge, self.models = settings, judge, models
        self.task = tasks.load(settings.task)
        self.names: list[str] = []  # of the batch that `logits` are of: shards of one batch follow each other

    def __call__(self, shard: Shard) -> list[tuple[Adversarial, bytes]]:
        pixels = shard.pixels.to(self.judge.device) / 255
        if self.names != shard.names:
            with torch.no_grad():
                self.names, self.logits = shard.names, self.judge(pixels)
        attack = attacks.load(shard.attack)(
            self.models[surrogate_of(shard.attack)],
            eps=shard.eps,
            targeted=self.settings.targeted,
            task=self.task,
            **self.settings.model_dump(include=TAKEN_AS_THEY_ARE),
        )
        predictions, labels = self.task.answers(self.logits), self.task.aim(self.logits, self.settings.goal)
        changed = (attack(pixels, labels) * 255).round().to("cpu", torch.uint8)
        largest = (changed.int() - shard.pixels.int()).abs().amax((1, 2, 3)).tolist()
        pngs = [to_png(each) for each in changed]
        rows = [
            Adversarial(
                file=file,
                image=name,
                attack=shard.attack,
                eps=shard.eps,
                steps=attack.steps,
                task=self.settings.task,
                targeted=attack.targeted,
                prediction=prediction,
                target=label if attack.targeted else None,
                sha256=hashlib.sha256(png).hexdigest(),
                max_change=change,
            )
            for file, name, prediction, label, change, png in zip(
                shard.files, shard.names, predictions.tolist(), labels.tolist(), largest, pngs, strict=True
            )
        ]
        return list(zip(rows, pngs, strict=True))


def surrogate_of(name: str) -> str:
    """Tell what an attack's gradient passes through, given a name that there is."""
    found = params.split_attack(name)
    assert found is not None  # attacks.load has refused unknown names
    return found[0]


def to_png(levels: Tensor) -> bytes:
    """Return the PNG file of an image, uint8 [3, H, W], on any device."""
    file = BytesIO()
    to_picture(levels.cpu()).save(file, format="PNG")
    return file.getvalue()
