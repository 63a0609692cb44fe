"""The task `classify`: a classifier names another class."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from attack.tasks.base import Task
from params import Goal


class Classify(Task):
    """Have a classifier name a target, or no longer name the class that it named; logits are [N, classes]."""

    def answers(self, logits: Tensor) -> Tensor:
        """Return the most likely classes."""
        return logits.argmax(1)

    def aim(self, logits: Tensor, goal: Goal) -> Tensor:
        """Choose the classes to reach or to leave.

        `targeted`: the class 500 on from the answer, as the paper, or half of the classes on where there are fewer than
        1000; `least_likely`: the class that the classifier holds for the least likely (Kurakin et al.); `untargeted`:
        the answer, which the attack is to leave.
        """
        if goal == "least_likely":
            return logits.argmin(dim=1)
        predictions, classes = self.answers(logits), logits.shape[1]
        return (predictions + classes // 2) % classes if goal == "targeted" else predictions

    def objective(self, logits: Tensor, labels: Tensor, *, targeted: bool) -> Tensor:
        """Return the cross-entropy, or less it towards a target."""
        views = logits.flatten(0, -2)
        times = len(views) // len(labels)
        cross_entropy = F.cross_entropy(views, labels.repeat(times), reduction="sum") / times
        return -cross_entropy if targeted else cross_entropy

    def margin(self, logits: Tensor, labels: Tensor, *, targeted: bool) -> Tensor:
        """Return the lead of the label's logit over the best other one, or of that one over it."""
        logits = logits.view(-1, *logits.shape[-2:])
        index = labels.expand(len(logits), -1)[..., None]
        own = logits.gather(2, index)[..., 0]
        best_other = logits.scatter(2, index, -torch.inf).amax(2)
        lead = own - best_other if targeted else best_other - own
        return lead.amin(0)

    def succeeded(self, answer: int, prediction: int, target: int | None) -> bool:
        """Tell whether the target is named, or another class than before."""
        return answer != prediction if target is None else answer == target
