"""What a task has to tell; a task is a subclass, in a module of its name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache

from torch import Tensor

from attack.named_class import class_of
from params import Goal, UserError, tasks


class Task(ABC):
    """What a recogniser is asked, what an attack raises, and what counts as success.

    `logits` are what the recogniser says, [N, …], or [views, N, …] where several platforms or recognisers are attacked
    at once; a label, int64, is an answer: the one to reach, or with `targeted=False` the one to leave.
    """

    @abstractmethod
    def answers(self, logits: Tensor) -> Tensor:
        """Return what the recogniser answers, int64 [N], given logits of one view."""

    @abstractmethod
    def aim(self, logits: Tensor, goal: Goal) -> Tensor:
        """Return the labels for an attack, int64 [N], given the logits of the originals in one view."""

    @abstractmethod
    def objective(self, logits: Tensor, labels: Tensor, *, targeted: bool) -> Tensor:
        """Return what an attack raises: the mean over views, summed over the batch, so that images are independent."""

    @abstractmethod
    def margin(self, logits: Tensor, labels: Tensor, *, targeted: bool) -> Tensor:
        """Return by how much an attack succeeds on the view where it does worst, [N]; above 0 it does on all."""

    @abstractmethod
    def succeeded(self, answer: int, prediction: int, target: int | None) -> bool:
        """Tell whether an answer is what an attack wanted, given the one on the original; without a target: away."""


@cache
def load(name: str) -> Task:
    """Find a task by the name of its module; a UserError lists those that there are."""
    if name not in tasks():
        raise UserError(f"No task {name!r}. There are {', '.join(tasks())}.")
    task: Task = class_of("attack.tasks", name)()
    return task
