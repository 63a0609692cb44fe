"""The real chain forward, a ComModel's gradient backward: BPDA (Athalye et al., arXiv:1802.00420)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.layers.encoder import Chain, serve_all
from train.layers.jpeg import StraightThrough
from train.models.hybrid import Hybrid


class Bpda(nn.Module):
    """Answer as the platform does and differentiate as the ComModel does; any attack can take it as its surrogate.

    Where the ComModel is a hybrid, the gradient is that of `Hybrid.steered`, which costs no pass through the encoder's
    layer.

    Args:
        chain: the real encoder and decoder, such as a `train.emulator.Emulator`. Callers see to it that it was
            identified: a wrong codec is worse than none. None: the ComModel's own answer stands in for it.
        com_model: a differentiable model of the same chain; its outputs have the chain's size.
    """

    def __init__(self, chain: Chain | None, com_model: nn.Module) -> None:
        super().__init__()
        self.chain, self.com_model = chain, com_model

    def forward(self, images: Tensor) -> Tensor:
        """Return what the chain makes of the images.

        Args:
            images: float [N, 3, H, W] in [0, 1]; rounded to whole grey levels for the chain.

        Returns:
            [N, 3, h, w], whole grey levels over 255; the gradient is that of the ComModel at the same images.

        Raises:
            ValueError: the chain and the ComModel make images of different sizes.
        """
        if isinstance(self.com_model, Hybrid):
            return self.com_model.steered(images, self.serve(images))
        if self.chain is None:
            alone: Tensor = self.com_model(images)
            return alone
        served, modelled = self.serve(images), self.com_model(images)
        if served.shape != modelled.shape:
            real, model = (f"{each.shape[-1]}×{each.shape[-2]}" for each in (served, modelled))
            raise ValueError(f"the chain's image has {real} pixels, the ComModel's {model}: not the same platform's")
        answer: Tensor = StraightThrough.apply(modelled, served)
        return answer

    @torch.no_grad()
    def serve(self, images: Tensor) -> Tensor:
        """Send a batch through the chain, or the ComModel where there is none, without a gradient."""
        if self.chain is None:
            modelled: Tensor = self.com_model(images)
            return modelled.clamp(0, 1)
        return serve_all(self.chain, images)
