"""The hybrid ComModel: the steps that a platform's files tell, as layers; what they don't tell is learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from collect.codecs import quantisation
from collect.codecs.encoders import all_encoders
from collect.codecs.filters import all_filters, filter_step
from collect.codecs.kernels import SIZE_STEPS, all_kernels, resize_step
from train.layers.encoder import RealEncoder, RealSteps, with_gradient
from train.layers.filters import LinearFilter
from train.layers.fitted import FittedFilter, FittedResize, Whole
from train.layers.resize import Resize
from train.layers.sharpen import Sharpen
from train.layers.steps import Jpeg
from train.models.residual import Residual


class Hybrid(nn.Module):
    """Map images as uploaded to images as downloaded.

    A chain of layers ends in the encoder's, after which a residual is learned from the image on both sides of it. An
    emulator that is identified leaves nothing to learn, since all layers are exact.

    Args:
        emulator: an `Emulator`, as JSON values: chain, tables, thresholds, identified.
        residual: False leaves the residual out, where learning it gained nothing.
    """

    def __init__(self, emulator: Mapping[str, Any], *, residual: bool = True) -> None:
        super().__init__()
        *steps, encoder = emulator["chain"].split("+")
        layers = nn.Sequential(*(layer(step, emulator) for step in steps))
        self.before: nn.Module = layers if all(map(is_exact, steps)) else RealSteps("+".join(steps), layers)
        if fitted := emulator.get("fitted"):
            self.before = fitted_steps(self.before, steps, fitted)
        self.encoder = layer(encoder, emulator)
        self.residual = Residual() if residual and not emulator["identified"] else None

    def forward(self, images: Tensor) -> Tensor:
        """Return what the platform makes of the images.

        Args:
            images: [N, 3, H, W] in [0, 1], any H and W.

        Returns:
            [N, 3, h, w], h and w as the platform serves them; what is learned may pass 0 or 1 a little.
        """
        return self.learned(self.fixed(images))

    def fixed(self, images: Tensor) -> Tensor:
        """Return what nothing is learned in: the images before and after the encoder's layer, [N, 6, h, w]."""
        before = self.before(images)
        return torch.cat([before, self.encoder(before)], dim=1)

    def learned(self, features: Tensor) -> Tensor:
        """Return the image [N, 3, h, w] after the encoder, by what is learned."""
        before, after = features.chunk(2, dim=1)
        return after if self.residual is None else after + self.residual(before, after)

    def steered(self, images: Tensor, served: Tensor) -> Tensor:
        """Return `served` with a gradient by the images, without a pass through the encoder's layer.

        The gradient is that of the steps before the encoder, and at the encoder that of
        `train.layers.encoder.with_gradient`.

        Args:
            images: [N, 3, H, W] in [0, 1].
            served: [N, 3, h, w], what the platform makes of them, as the real chain or this model has it.

        Raises:
            ValueError: `served` has not the size that the chain serves.
        """
        before = self.before(images)
        if before.shape != served.shape:
            real, model = (f"{each.shape[-1]}×{each.shape[-2]}" for each in (served, before))
            raise ValueError(f"the chain's image has {real} pixels, the ComModel's {model}: not the same platform's")
        transform = None
        if isinstance(self.encoder, Jpeg):
            transform = self.encoder.quantisation(before)
        elif isinstance(self.encoder, RealEncoder):
            transform = self.encoder.quantisation_of(before)
        return with_gradient(before, served, transform)

    def still_right(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """Return what holds of a checkpoint from when WebP and JPEG 2000 were followed, and AVIF learned.

        None: it learned what such a layer left, which the real encoder doesn't leave.
        """
        if not any(isinstance(each, RealEncoder) for each in self.modules()):
            return dict(tensors)
        kept = {name: each for name, each in tensors.items() if not name.startswith(("encoder.", "residual."))}
        if self.residual is not None and len(kept) < len(tensors):
            return None
        return kept


def layer(step: str, emulator: Mapping[str, Any]) -> nn.Module:
    """Build the layer of one step of a chain."""
    name, *arguments = step.split(":")
    match name:
        case "sharpen":
            return Sharpen(float(arguments[0]))
        case _ if name in SIZE_STEPS:
            return Resize(*resize_step(name, *arguments))
        case _ if name in all_filters():
            return LinearFilter(filter_step(name, *arguments).weights)
        case "jpeg" if "ifast" not in arguments:
            sampling = next((each for each in arguments[1:] if each.isdigit()), "420")
            if arguments[0] != "tables":
                return Jpeg(sampling, [quantisation.standard_tables(int(arguments[0]))], biases=_biases(emulator))
            return _jpeg(sampling, emulator)
        case "png":
            return nn.Identity()
        case "webp" if arguments == ["lossless"]:
            return nn.Identity()
        case _:
            tables = max(emulator["tables"], key=lambda each: each["share"], default=None)
            return RealEncoder(step, tables and (tables["luma"], tables["chroma"] or tables["luma"]))


def fitted_steps(before: nn.Module, steps: Sequence[str], fitted: Mapping[str, Any]) -> nn.Module:
    """Put the numbers that were fitted in place of the kernel, or behind the steps."""
    if fitted["taps"] is not None:
        name, *arguments = steps[0].split(":")
        before = nn.Sequential(FittedResize(resize_step(name, *arguments)[0], torch.tensor(fitted["taps"])), Whole())
    if fitted["filter"] is not None:
        numbers = (torch.tensor(fitted[name]) for name in ("filter", "colours", "offset"))
        before = nn.Sequential(before, FittedFilter(*numbers), Whole())
    return before.requires_grad_(False)


def is_exact(step: str) -> bool:
    """Tell whether a step's layer gives what the step itself does, to the bit."""
    name, *arguments = step.split(":")
    if name in SIZE_STEPS:
        return all_kernels()[resize_step(name, *arguments)[1]].is_product
    return name == "sharpen" or name in all_encoders()


def _jpeg(sampling: str, emulator: Mapping[str, Any]) -> Jpeg:
    """Build the layer with the tables that were found; without a rule for choosing among them, with the commonest."""
    found, thresholds = emulator["tables"], emulator.get("thresholds") or ()
    if not thresholds:
        found = [max(found, key=lambda each: each["share"])]
    tables = [(each["luma"], each["chroma"] or each["luma"]) for each in found]
    return Jpeg(sampling, tables, thresholds, biases=_biases(emulator))


def _biases(emulator: Mapping[str, Any]) -> tuple[Sequence[float], Sequence[float]] | None:
    return (emulator.get("fitted") or {}).get("biases")
