"""The task `classify`: a classifier names another class."""

from __future__ import annotations

import torch
from torch import Tensor

from params import Goal


def margin(logits: Tensor, labels: Tensor, *, targeted: bool) -> Tensor:
    """Return by how much an attack succeeds on the view where it does worst, [N]; above 0 it does on all.

    Args:
        logits: [N, classes] or [views, N, classes].
        labels: int64 [N], the targets, or the labels to leave.
    """
    logits = logits.view(-1, *logits.shape[-2:])
    index = labels.expand(len(logits), -1)[..., None]
    own = logits.gather(2, index)[..., 0]
    best_other = logits.scatter(2, index, -torch.inf).amax(2)
    lead = own - best_other if targeted else best_other - own
    return lead.amin(0)


def aim(logits: Tensor, goal: Goal) -> Tensor:
    """Return the labels for an attack, int64 [N], given the logits [N, classes] of the originals.

    `targeted`: the class 500 on from the answer, as the paper, or half of the classes on where there are fewer than
    1000; `least_likely`: the class that the classifier holds for the least likely (Kurakin et al.); `untargeted`: the
    answer, which the attack is to leave.
    """
    if goal == "least_likely":
        return logits.argmin(dim=1)
    predictions, classes = logits.argmax(dim=1), logits.shape[1]
    return (predictions + classes // 2) % classes if goal == "targeted" else predictions
