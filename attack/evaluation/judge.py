"""What the classifier says of adversarial images before the upload and after the round trip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from io import BytesIO
from typing import Any

import torch

from attack import tasks
from attack.evaluation.outcomes import Outcome
from attack.evaluation.visibility import ssim
from attack.generation.adversarial import Adversarial
from attack.models.classifiers import Classifier
from pairing.alignment import measure_pair, psnr, read_pixels
from params import Pairing
from train import device
from train.tensors import read_image

COPIED = {each.name for each in fields(Outcome)} & set(Adversarial.model_fields)  # into the outcome


@dataclass(frozen=True)
class Sent:
    """An adversarial image, whole files all: what was uploaded, the photo that it was made from, what came back."""

    row: Adversarial
    uploaded: bytes
    photo: bytes
    served: tuple[str, bytes] | None  # a name in the folder of the evaluation; None: refused by the platform


@dataclass(frozen=True)
class WorkerInit:
    """What a process needs before it judges images."""

    site: str
    pairing: Pairing
    classifier: Classifier

    def __call__(self) -> Judge:
        return Judge(self.site, self.pairing, self.classifier.to(device.best()))


class Judge:
    """Tell what became of adversarial images."""

    def __init__(self, site: str, pairing: Pairing, classifier: Classifier) -> None:
        self.site, self.pairing, self.classifier = site, pairing, classifier

    def __call__(self, some: Sequence[Sent]) -> list[Outcome]:
        befores = self.answers([each.uploaded for each in some], some[0].row.task)
        return [
            Outcome(site=self.site, **each.row.model_dump(include=COPIED), before=before, **self.after(each))
            for each, before in zip(some, befores, strict=True)
        ]

    def after(self, sent: Sent) -> dict[str, Any]:
        """Pair what came back with what was sent, as `pairing` does, and look at it."""
        nothing = {"served": None, "after": None, "psnr": None, "ssim": None}
        if sent.served is None:
            return nothing | {"reason": "refused by the platform"}
        name, served = sent.served
        measured = measure_pair(BytesIO(sent.uploaded), BytesIO(served), self.pairing)
        if measured.reason is not None:
            return nothing | {"reason": measured.reason}
        photo = read_pixels(BytesIO(sent.photo))
        seen = read_pixels(BytesIO(served), (photo.shape[1], photo.shape[0]))
        return {
            "served": name,
            "after": self.answers([served], sent.row.task)[0],
            "psnr": psnr(photo, seen),
            "ssim": ssim(photo, seen),
            "reason": None,
        }

    def answers(self, files: Sequence[bytes], task: str) -> list[int]:
        """Ask the classifier about files of one size."""
        pixels = torch.stack([read_image(BytesIO(file)) for file in files]).to(self.classifier.device) / 255
        with torch.inference_mode():
            return tasks.load(task).answers(self.classifier(pixels)).tolist()
