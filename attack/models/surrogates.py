"""What stands for the platform in front of a classifier: nothing, a ComModel, a JPEG, or several at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from attack.models.classifiers import Classifier
from collect.codecs import quantisation
from params import UserError
from train.emulator import Emulator
from train.layers import Jpeg
from train.models import Bpda, checkpoint

AVERAGED = (25, 50, 75)  # JPEG qualities that Shin and Song average over, beside none


class Ensemble(nn.Module):
    """Every classifier's logits on what every surrogate makes of the images, [views, N, classes]; [N, classes] of one.

    Args:
        surrogates: images [N, 3, H, W] to images, in [0, 1]; `nn.Identity()` for no compression.
        classifiers: images to logits of the same classes.
    """

    def __init__(self, surrogates: Sequence[nn.Module], classifiers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.surrogates, self.classifiers = nn.ModuleList(surrogates), nn.ModuleList(classifiers)
        self.eval()  # a fresh module is in training mode, and torchattacks would put the classifiers "back" into it

    def forward(self, images: Tensor) -> Tensor:
        served = [surrogate(images) for surrogate in self.surrogates]
        logits = [classifier(each) for each in served for classifier in self.classifiers]
        return logits[0] if len(logits) == 1 else torch.stack(logits)


def differentiable_jpeg(quality: int) -> Jpeg:
    """Return JPEG of a quality with the cubic rounding of Shin and Song (2017), 4:2:0: the talk's Diff_mim."""
    return Jpeg("420", [quantisation.standard_tables(quality)], rounding="cubic")


def fixed(name: str) -> list[nn.Module]:
    """List the views of a surrogate that knows no platform: `plain`, `diff75`, `average`."""
    if name == "average":
        return [nn.Identity(), *map(differentiable_jpeg, AVERAGED)]
    return [nn.Identity() if name == "plain" else differentiable_jpeg(int(name.removeprefix("diff")))]


def real(checkpoint_file: Path, device: torch.device) -> Bpda:
    """Return a platform's own encoders in front of its ComModel's gradient, where they are known.

    Raises:
        UserError: there is no ComModel, or a file is damaged.
    """
    com_model = checkpoint.load(checkpoint_file, device)
    emulator_file = checkpoint_file.with_suffix(".emulator.json")
    emulator = Emulator.load(emulator_file) if emulator_file.exists() else None
    return Bpda(emulator if emulator and emulator.is_known else None, com_model)


def through(name: str, checkpoints: Sequence[Path], device: torch.device) -> list[nn.Module]:
    """List the views of a surrogate, given the ComModels of the platforms that an image is made for.

    Args:
        name: as `params.split_attack` gives it: plain, comreadv, real, diff75, average.
        checkpoints: one ComModel a platform. With several, an image has to do without compression too.

    Raises:
        UserError: a ComModel that is needed is missing or damaged, or none was given.
    """
    if name not in ("comreadv", "real"):
        return [surrogate.to(device) for surrogate in fixed(name)]
    if not checkpoints:
        raise UserError("No platform to go through. Switch one on in params.yaml.")
    views = [real(each, device) if name == "real" else checkpoint.load(each, device) for each in checkpoints]
    return [*views, nn.Identity()] if len(views) > 1 else views


def build(name: str, checkpoints: Sequence[Path], classifiers: Sequence[Classifier]) -> Ensemble:
    """Put a surrogate in front of classifiers; takes and raises what `through` does."""
    return Ensemble(through(name, checkpoints, classifiers[0].device), classifiers)
