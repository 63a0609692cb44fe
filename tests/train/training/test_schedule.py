from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from train.training.schedule import approach, cosine_schedule, paper_schedule


@pytest.mark.parametrize(
    ("progress", "factor"),
    [(0.0, 0.0), (0.05, 0.5), (0.1, 1), (0.49, 1), (0.5, 0.1), (0.79, 0.1), (0.8, 0.02), (0.95, 0.01), (2, 0.01)],
)
def test_learning_rate_falls_as_in_the_paper(progress: float, factor: float) -> None:
    assert paper_schedule(progress) == pytest.approx(factor)


def test_the_cosine_rises_then_falls_to_nothing() -> None:
    factors = [cosine_schedule(step / 100) for step in range(121)]
    assert factors[0] == 0 and max(factors) == factors[10] > 0.95 and factors[100:] == pytest.approx([0] * 21)
    assert all(before > after for before, after in pairwise(factors[10:101]))


def test_averaged_weights_follow_soon_and_smooth_later() -> None:
    model = nn.Linear(1, 1, bias=False)
    average = AveragedModel(model, multi_avg_fn=approach)
    for value in range(2000):
        with torch.no_grad():
            model.weight.fill_(1 + (-1) ** value)  # 2, 0, 2, 0
        average.update_parameters(model)
        if value == 9:
            assert abs(average.module.weight.item() - 1) < 0.5
    assert abs(average.module.weight.item() - 1) < 0.01
