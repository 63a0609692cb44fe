"""What a classifier says of a photo once platforms have processed it, as a model of a small image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from PIL import Image
from torch import Tensor, nn

from attack.models.classifiers import Classifier
from pairing.alignment import Pixels
from params import UserError
from train.emulator import Emulator
from train.layers import RealEncoder, StraightThrough
from train.models import Bpda, Hybrid, checkpoint
from train.tensors import from_pixels

MAX_UNTILED_PIXELS = 2**21  # pixels up to which a ComModel takes an image at once
TILE, HALO = 1024, 64  # pixels, multiples of a macroblock
FINE = 4  # pixels of the change's way through the photo, per working pixel, that the gradient follows


@dataclass(frozen=True)
class Processing:
    """What a platform does to a photo: by its own encoders where they were identified, else by its ComModel."""

    platform: str
    emulator: Emulator | None
    com_model: nn.Module

    @classmethod
    def load(cls, platform: str, models: Path, device: torch.device) -> Processing:
        """Read a platform's models; raise UserError when there are none, or they are damaged."""
        emulator_file, file = models / f"{platform}.emulator.json", models / f"{platform}.safetensors"
        emulator = Emulator.load(emulator_file) if emulator_file.exists() else None
        known = emulator if emulator and emulator.is_known else None
        if not file.exists() and known is None:
            raise UserError(
                f"There is no model of {platform} in {models}, so nobody can tell what it does to a photo. Run"
                f" `dvc repro train@{platform}`, or `comreadv train --platform {platform}`, or name the folder with"
                " --models."
            )
        com_model = checkpoint.load(file, device) if file.exists() or known is None else _layers(known)
        return cls(platform, known, com_model)

    @property
    def how(self) -> str:
        """Say how sure it is."""
        return "by the real codec, identified" if self.emulator else "by a learned model, not certain"

    def __call__(self, pixels: Pixels) -> Tensor:
        """Return what the platform serves, float [1, 3, h, w] in [0, 1]; raises ValueError for an image too large."""
        if self.emulator:
            return from_pixels(self.emulator(Image.fromarray(pixels)))[None] / 255
        device = next((each.device for each in self.com_model.parameters()), torch.device("cpu"))
        served = respond(self.com_model, from_pixels(pixels)[None].to(device) / 255)
        return (served * 255).round().clamp(0, 255).cpu() / 255


def _layers(emulator: Emulator) -> nn.Module:
    return Hybrid(emulator.model_dump(mode="json"), residual=False).eval().requires_grad_(False)


@torch.no_grad()
def respond(model: nn.Module, images: Tensor) -> Tensor:
    """Return a ComModel's answer to images [1, 3, H, W]; in overlapping tiles to large ones, to bound its memory."""
    if images.shape[-1] * images.shape[-2] <= MAX_UNTILED_PIXELS:
        answer: Tensor = model(images)
        return answer
    encode: Callable[[Tensor], Tensor] = model
    if isinstance(model, Hybrid):  # only what keeps the size can be tiled
        images = model.before(images)
        if isinstance(model.encoder, RealEncoder):  # takes little memory, and goes by the whole image
            images, encode = torch.cat([images, model.encoder(images)], dim=1), model.learned
        else:

            def encode(tile: Tensor) -> Tensor:
                return model.learned(torch.cat([tile, model.encoder(tile)], dim=1))

    served = torch.empty_like(images[:, :3])
    height, width = images.shape[-2:]
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            high, wide = max(0, top - HALO), max(0, left - HALO)
            tile = images[..., high : top + TILE + HALO, wide : left + TILE + HALO]
            inner = encode(tile)[..., top - high :, left - wide :][..., :TILE, :TILE]
            served[..., top : top + TILE, left : left + TILE] = inner
    return served


class FullResolution(nn.Module):
    """Logits [views, 1, classes] of a photo with a small image's change on it; a view is a platform × classifier.

    Forward is real: the change is enlarged, added, rounded, processed by each platform and shrunk for the classifier.
    Backward takes everything between the small image and the classifier's input for a resize, which needs no
    gradient, nor memory, at the photo's size.

    Args:
        pixels: the photo, uint8 [H, W, 3].
        size: height and width of the small image.
        step: told of each pass.
    """

    def __init__(
        self,
        pixels: Pixels,
        size: tuple[int, int],
        platforms: Sequence[Processing],
        classifiers: Sequence[Classifier],
        step: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self.pixels, self.platforms, self.step = pixels, platforms, step
        self.classifiers = list(classifiers)  # whose parameters are fixed
        self.full = pixels.shape[:2]
        self.device = classifiers[0].device
        photo = from_pixels(pixels)
        if size != self.full:  # a channel at a time, for the memory
            photo = torch.cat([_shrunk(channel[None, None].float(), size) for channel in photo], dim=1)[0]
        self.small = (photo.float().round().clamp(0, 255) / 255)[None].to(self.device)
        self.exact = size == self.full
        self.surrogates = nn.ModuleList(Bpda(each.emulator, each.com_model) for each in platforms if self.exact)

    def forward(self, images: Tensor) -> Tensor:
        self.step()
        if self.exact:
            seen = [surrogate(images) for surrogate in self.surrogates]
            return torch.stack([classifier(each) for each in seen for classifier in self.classifiers])
        copy, change = self.copy(images.detach()), images - self.small
        height, width = (min(full, FINE * small) for full, small in zip(self.full, change.shape[-2:], strict=True))
        guide = F.interpolate(change, (height, width), mode="bilinear")
        logits = []
        for platform in self.platforms:
            served = platform(copy)
            for classifier in self.classifiers:
                shrunk = shrink(served, classifier).to(images)
                seen_so = F.interpolate(guide, classifier.size, mode=classifier.mode, antialias=True)
                logits.append(classifier(StraightThrough.apply(seen_so, shrunk)))
        return torch.stack(logits)

    @torch.no_grad()
    def copy(self, images: Tensor) -> Pixels:
        """Return the photo with a small image's change on it, uint8 [H, W, 3]; no colour changes by more than there."""
        changed = torch.empty((*self.full, 3), dtype=torch.uint8)
        change = ((images - self.small) * 255).round().cpu()
        for channel in range(3):
            level = change[:, channel : channel + 1]
            if not self.exact:
                level = F.interpolate(level, self.full, mode="bilinear")
            level = level[0, 0] + torch.from_numpy(self.pixels[..., channel].copy())
            changed[..., channel] = level.round_().clamp_(0, 255).to(torch.uint8)
        return changed.numpy()


@torch.no_grad()
def shrink(served: Tensor, classifier: Classifier) -> Tensor:
    """Scale images to a classifier's input, as it does itself."""
    if served.shape[-2:] == classifier.size:
        return served
    return F.interpolate(served, classifier.size, mode=classifier.mode, antialias=True)


def _shrunk(channel: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(channel, size, mode="bicubic", antialias=True)


def working_size(served: Sequence[tuple[int, int]], full: tuple[int, int], side: int) -> tuple[int, int]:
    """Choose the height and width at which a photo is attacked.

    What platforms serve counts pixel by pixel as long as a classifier of input `side` sees the pixels, so up to about
    twice that; above, the change is made at the classifier's own scale.
    """
    height, width = max(served, key=max)
    if max(height, width) <= 2 * side:
        return height, width
    return min(side, full[0]), min(side, full[1])
