"""ComModel: the paper's encoder-decoder, a differentiable model of what a platform does to an image.

Wang et al., ComReAdv (wanggroupAI/ComReAdv).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

STRIDE = 16  # of the whole encoder: inputs are padded to a multiple of it
CARRIERS = 12  # channels in which the fresh net carries the image: 2x2 neighbours in three colours
LIFT = 0.25  # added to the carriers, so that no ReLU stands in a black pixel's way
FAINT = 1e-4  # weight with which the fresh net's other channels reach the output


class ComModel(nn.Module):
    """Map images as uploaded to images as downloaded.

    Args:
        init: "identity" starts from a net that returns its input, all but exactly, and so at the identity's
            error; "he" from He's initialisation alone, as the paper.
    """

    def __init__(self, init: Literal["identity", "he"] = "identity") -> None:
        super().__init__()
        self.stem = SameConv(3, 64, 4)
        self.down1 = Bottleneck(64, 64, stride=2)
        self.down2 = Bottleneck(64, 128, stride=2)
        self.down3 = Bottleneck(128, 256, stride=2)
        self.down4 = Bottleneck(256, 512, stride=2)
        self.bridge = Bottleneck(512, 512, stride=1)
        self.up1 = Upsample(512 + 512, 256)
        self.up2 = Upsample(256 + 256, 128)
        self.up3 = Upsample(128 + 128, 64)
        self.up4 = Upsample(64 + 64, 64)
        self.head = SameConv(64, 3, 4)
        self.apply(initialise)
        if init == "identity":
            become_identity(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return what the platform makes of the images.

        Args:
            images: [N, 3, H, W] in [0, 1], any H and W; sides that are no multiple of 16 are padded by
                replication, and the result is cropped back.

        Returns:
            [N, 3, H, W], linear: values may pass 0 or 1 a little. Not clamped here, because a clamp
            would kill an attack's gradient at black and white pixels; clamp where pixels are made.
        """
        return self.learned(self.fixed(images))

    def fixed(self, images: Tensor) -> Tensor:
        """Return the images: nothing is known before training."""
        return images

    def learned(self, features: Tensor) -> Tensor:
        """Return `forward`'s result from that of `fixed`."""
        height, width = features.shape[-2:]
        x = F.pad(features, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
        half = self.down1(F.relu(self.stem(x)))
        quarter = self.down2(half)
        eighth = self.down3(quarter)
        sixteenth = self.down4(eighth)
        x = self.bridge(sixteenth)
        x = self.up1(sixteenth, x)
        x = self.up2(eighth, x)
        x = self.up3(quarter, x)
        x = self.up4(half, x)
        output: Tensor = self.head(x)
        return output[..., :height, :width]


class SameConv(nn.Conv2d):
    """A 4x4 convolution of stride 1, padded as TensorFlow's SAME: one zero before, two after."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (1, 2, 1, 2)))


class Bottleneck(nn.Module):
    """Add 1x1, 4x4 and 1x1 convolutions of a quarter of the width to a shortcut; ReLU after the sum.

    The 4x4 convolution has the stride, and the shortcut a 1x1 projection where the shape changes.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        inner = outputs // 4
        self.reduce = nn.Conv2d(inputs, inner, 1)
        self.spatial = SameConv(inner, inner, 4) if stride == 1 else nn.Conv2d(inner, inner, 4, stride, padding=1)
        self.expand = nn.Conv2d(inner, outputs, 1)
        same_shape = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same_shape else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.expand(F.relu(self.spatial(F.relu(self.reduce(x)))))
        return F.relu(branch + self.shortcut(x))


class Upsample(nn.ConvTranspose2d):
    """Join the encoder's feature of the same size, double height and width by a 4x4 transposed convolution; ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 4, stride=2, padding=1)

    def forward(self, feature: Tensor, x: Tensor) -> Tensor:  # type: ignore[override]
        return F.relu(super().forward(torch.cat([feature, x], dim=1)))


@torch.no_grad()
def initialise(module: nn.Module) -> None:
    """Initialise a convolution's weights as He et al. (2015), its biases as 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        taps = module.weight[0, 0].numel() // (4 if isinstance(module, nn.ConvTranspose2d) else 1)  # that meet a pixel
        module.weight.normal_(std=(2 / (module.in_channels * taps)) ** 0.5)
        assert module.bias is not None
        module.bias.zero_()


@torch.no_grad()
def become_identity(model: ComModel) -> None:
    """Route the image through the outermost skip connection, so that the net returns its input.

    The stem gathers each pixel's 2x2 neighbourhood into 12 carrier channels, the first shortcut takes
    every second pixel of them, the last transposed convolution puts them back in place, and the head
    passes 3 channels on. Only weights into the carriers are zeroed; the rest keep He's, and reach the
    output faintly, so that every weight has a gradient from the first step.
    """
    stem, shortcut, put_back, head = model.stem, model.down1.shortcut, model.up4, model.head
    assert isinstance(shortcut, nn.Conv2d) and stem.bias is not None and head.bias is not None
    carriers, colours = slice(CARRIERS), slice(3)

    for convolution in (stem, shortcut, model.down1.expand):
        convolution.weight[carriers] = 0
    stem.bias[carriers] = LIFT
    put_back.weight[:, colours] *= FAINT
    put_back.weight[carriers, colours] = 0
    head.weight *= FAINT
    head.weight[:, colours] = 0
    head.bias -= LIFT
    for carrier in range(CARRIERS):
        row, column, colour = carrier // 6, carrier // 3 % 2, carrier % 3
        stem.weight[carrier, colour, 1 + row, 1 + column] = 1  # kernel position 1 is the pixel itself
        shortcut.weight[carrier, carrier] = 1
        put_back.weight[carrier, colour, 1 + row, 1 + column] = 1
    for colour in range(3):
        head.weight[colour, colour, 1, 1] = 1
