"""How visible a change is: PSNR, SSIM, and LPIPS where its network is on this machine."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from skimage.metrics import structural_similarity

from pairing.alignment import Pixels
from pairing.alignment import psnr as psnr

STRIP_ROWS = 256  # rows that SSIM is reckoned on at a time
SSIM_WINDOW = 7  # of SSIM, pixels
LPIPS_TILE = 1024  # of LPIPS, pixels
BACKBONE = "alexnet-owt-7be5be79.pth"  # torchvision's, which LPIPS stands on

# The least SSIM and PSNR for a word: SSIM alone overlooks soft blotches, PSNR alone what lies on smooth areas.
WORDS = (
    (0.995, 45, "invisible"),
    (0.97, 39, "hardly visible"),
    (0.93, 34, "faintly visible"),
    (0.85, 28, "visible"),
)


@dataclass(frozen=True)
class Visibility:
    """How far a copy is from its photo, and a word for it."""

    largest: int  # change of a pixel's colour, grey levels
    psnr: float | None  # dB; None: no difference
    ssim: float
    lpips: float | None  # None: not on this machine
    word: str


def measure_visibility(original: Pixels, copy: Pixels) -> Visibility:
    """Measure how visible the change from an image to another of its size is."""
    similarity, ratio = ssim(original, copy), psnr(original, copy)
    return Visibility(
        largest=int((np.maximum(original, copy) - np.minimum(original, copy)).max()),
        psnr=ratio,
        ssim=similarity,
        lpips=lpips(original, copy),
        word=next(
            (word for least, db, word in WORDS if similarity >= least and (ratio or 100) >= db), "plainly visible"
        ),
    )


def ssim(first: Pixels, second: Pixels) -> float:
    """Return the mean structural similarity, scikit-image's, in memory that grows with the width alone.

    Strips overlap by a window, so that each window counts once.
    """
    total, inner, margin = 0.0, first.shape[0] - SSIM_WINDOW + 1, SSIM_WINDOW - 1
    for top in range(0, inner, STRIP_ROWS):
        rows = slice(top, min(top + STRIP_ROWS, inner) + margin)
        strip = structural_similarity(first[rows], second[rows], channel_axis=2, win_size=SSIM_WINDOW)
        total += float(strip) * (rows.stop - rows.start - margin)
    return total / float(inner)


@torch.no_grad()
def lpips(first: Pixels, second: Pixels) -> float | None:
    """Return the learned perceptual distance (AlexNet's), the mean over tiles of a large image.

    None when the package `lpips` or its backbone's weights are not on this machine; nothing is downloaded.
    """
    if not (Path(torch.hub.get_dir()) / "checkpoints" / BACKBONE).exists() or not importlib.util.find_spec("lpips"):
        return None
    import lpips as package

    network = package.LPIPS(net="alex", verbose=False).eval()
    total, height, width = 0.0, *first.shape[:2]
    for top in range(0, height, LPIPS_TILE):
        for left in range(0, width, LPIPS_TILE):
            window = (slice(top, top + LPIPS_TILE), slice(left, left + LPIPS_TILE))
            pair = [
                torch.from_numpy(each[window].copy()).permute(2, 0, 1)[None] / 127.5 - 1 for each in (first, second)
            ]
            if min(pair[0].shape[-2:]) < 64:  # a sliver is too small for AlexNet: it counts at twice its size or more
                pair = [torch.nn.functional.interpolate(each, (64, 64), mode="bilinear") for each in pair]
            total += float(network(*pair)) * first[window].size
    return total / float(first.size)
