"""How the learning rate and the averaged weights move through a run."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

WARM_UP_SHARE = 0.1  # share of the run over which the learning rate rises to its full height
PAPER_FACTORS = {0.95: 0.01, 0.8: 0.02, 0.5: 0.1, 0.0: 1.0}  # share of the run passed: factor
AVERAGE_DECAY = 0.998  # of the averaged weights stay at a step, once the average is warm

Tensors = tuple[Tensor, ...] | list[Tensor]


def paper_schedule(progress: float) -> float:
    """Return what the learning rate is multiplied by at a share of the run, 0 to 1: the paper's steps."""
    return min(1.0, progress / WARM_UP_SHARE) * next(
        factor for passed, factor in PAPER_FACTORS.items() if progress >= passed
    )


def cosine_schedule(progress: float) -> float:
    """Return what the learning rate is multiplied by at a share of the run, 0 to 1: half a wave."""
    return min(1.0, progress / WARM_UP_SHARE) * (1 + math.cos(math.pi * min(1.0, progress))) / 2


SCHEDULES = {"paper": paper_schedule, "hybrid": cosine_schedule}


@torch.no_grad()
def approach(averaged: Tensors, current: Tensors, steps: Tensor | int) -> None:
    """Move averaged weights towards the current ones, by less each step, so that short runs are averaged too."""
    keep = min(AVERAGE_DECAY, (1 + int(steps)) / (10 + int(steps)))
    get_ema_multi_avg_fn(keep)(averaged, current, steps)  # type: ignore[no-untyped-call]
