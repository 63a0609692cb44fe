"""The task `classify`: targets, what an attack raises, and what counts as success."""

import pytest
import torch

from attack import tasks
from attack.tasks.classify import Classify
from params import UserError

LOGITS = torch.tensor([[1.0, 4.0, 2.0, 0.0], [3.0, 2.0, 0.0, 5.0]])
TASK = Classify()


def test_a_task_is_found_by_its_module() -> None:
    assert isinstance(tasks.load("classify"), Classify)
    with pytest.raises(UserError, match="There are classify"):
        tasks.load("base")


def test_targets_are_half_of_the_classes_on_or_least_likely_or_what_is_to_be_left() -> None:
    assert TASK.answers(LOGITS).tolist() == [1, 3]
    assert TASK.aim(LOGITS, "targeted").tolist() == [3, 1]
    assert TASK.aim(LOGITS, "least_likely").tolist() == [3, 2]
    assert TASK.aim(LOGITS, "untargeted").tolist() == [1, 3]


def test_success_is_the_target_or_without_one_another_answer() -> None:
    assert TASK.succeeded(503, 3, 503) and not TASK.succeeded(504, 3, 503) and not TASK.succeeded(3, 3, 503)
    assert TASK.succeeded(504, 3, None) and not TASK.succeeded(3, 3, None)


def test_margin_is_the_worst_views() -> None:
    logits = torch.tensor([[[1.0, 4.0, 2.0]], [[3.0, 2.0, 0.0]]])
    assert TASK.margin(logits, torch.tensor([1]), targeted=True) == -1
    assert TASK.margin(logits, torch.tensor([1]), targeted=False) == -2
    assert TASK.margin(logits[0], torch.tensor([1]), targeted=True) == 2


@pytest.mark.parametrize("targeted", [True, False])
def test_objective_is_the_mean_over_views(targeted: bool) -> None:
    logits = torch.randn(3, 4, 10, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([1, 2, 3, 4])
    each = torch.stack([TASK.objective(view, labels, targeted=targeted) for view in logits])
    assert torch.allclose(TASK.objective(logits, labels, targeted=targeted), each.mean())
    assert (each.mean() < 0) == targeted  # raised towards a target by less cross-entropy
