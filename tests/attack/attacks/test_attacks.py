import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision.transforms.v2.functional import gaussian_blur

import params
from attack import attacks
from attack.attacks import Attack
from attack.attacks.best import KERNEL_WIDTH, SMOOTHING_SIGMA, Best, smoothed
from attack.attacks.bim import BIM
from attack.attacks.fgsm import FGSM
from attack.attacks.mim import MIM
from attack.attacks.mim_official import MIMOfficial
from attack.attacks.ni import NI
from attack.attacks.pgd import PGD
from attack.attacks.vmi import NEIGHBOURS, VMI
from attack.tasks.classify import Classify
from params import UserError
from train.models.com_model import ComModel

ROOT = Path(__file__).parents[3]
EVERY = [attacks.load(name) for name in params.attacks()]
ATTACKS = [each for each in EVERY if each not in (PGD, Best)]  # whose steps go straight to a linear model's optimum


class Linear(nn.Module):
    """Two logits, 0 and a weighted sum of the pixels: its gradient's sign is known everywhere."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, images: Tensor) -> Tensor:
        score = (self.weight * images).sum(dim=(1, 2, 3))
        return torch.stack([torch.zeros_like(score), score], dim=1)


def whole(levels: Tensor) -> Tensor:
    return levels.float() / 255


def levels_of(images: Tensor) -> Tensor:
    return (images * 255).round()


@pytest.fixture
def weight() -> Tensor:
    return torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(1)) * 0.02


@pytest.mark.parametrize("kind", ATTACKS)
@pytest.mark.parametrize(("targeted", "label"), [(True, 0), (True, 1), (False, 0), (False, 1)])
def test_a_linear_models_optimum_is_reached(kind: type[Attack], targeted: bool, label: int, weight: Tensor) -> None:
    images = whole(torch.full((2, 3, 8, 8), 100))
    adversarial = kind(Linear(weight), eps=4, steps=8, targeted=targeted)(images, torch.tensor([label] * 2))
    upwards = targeted == (label == 1)
    expected = 100 + (4 if upwards else -4) * weight.sign()
    assert torch.equal(levels_of(adversarial), expected.expand(2, -1, -1, -1))


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(EVERY),
    eps=st.integers(1, 255),
    steps=st.integers(1, 7),
    step_size=st.one_of(st.none(), st.floats(0.01, 300)),
    momentum=st.floats(0, 2),
    seed=st.integers(0, 2**32),
    shade=st.sampled_from([0, 1, 128, 254, 255]),
)
def test_eps_holds_exactly_on_whole_grey_levels(
    kind: type[Attack], eps: int, steps: int, step_size: float | None, momentum: float, seed: int, shade: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    levels = torch.randint(0, 256, (2, 3, 4, 4), generator=random)
    levels[0] = shade
    model = Linear(torch.randn(3, 4, 4, generator=random))
    images = whole(levels)
    run = kind(model, eps=eps, steps=steps, step_size=step_size, momentum=momentum)
    adversarial = run(images, torch.tensor([0, 1]))
    assert torch.equal(adversarial, levels_of(adversarial) / 255)  # what a PNG keeps is what was attacked
    changed = levels_of(adversarial)
    assert changed.min() >= 0 and changed.max() <= 255
    assert (changed - levels).abs().max() <= eps
    assert torch.equal(images, whole(levels))


def test_result_is_rounded_not_truncated(weight: Tensor) -> None:
    images = whole(torch.full((1, 3, 8, 8), 100))
    adversarial = BIM(Linear(weight), eps=5, steps=1, step_size=1.6)(images, torch.tensor([1]))
    assert torch.equal(levels_of(adversarial)[0], 100 + 2 * weight.sign())


def test_step_size_is_eps_over_steps_unless_given(weight: Tensor) -> None:
    assert BIM(Linear(weight), eps=5, steps=10).step_size == 0.5
    assert BIM(Linear(weight), eps=5, steps=10, step_size=2).step_size == 2
    assert FGSM(Linear(weight), eps=5, steps=10, step_size=2).step_size == 5


def test_fgsm_asks_for_one_gradient(weight: Tensor) -> None:
    calls = []

    class Counting(Linear):
        def forward(self, images: Tensor) -> Tensor:
            calls.append(images)
            return super().forward(images)

    FGSM(Counting(weight), eps=5, steps=10)(torch.zeros(1, 3, 8, 8), torch.tensor([1]))
    assert len(calls) == 1


def test_mim_without_momentum_is_bim(small_net: nn.Module) -> None:
    images = whole(torch.randint(0, 256, (3, 3, 16, 16), generator=torch.Generator().manual_seed(3)))
    labels = torch.tensor([1, 2, 3])
    found = [kind(small_net, eps=6, steps=5, momentum=0.0)(images, labels) for kind in (MIM, BIM)]
    assert torch.equal(*found)


def test_mim_accumulates_gradients_of_unit_l1_norm() -> None:
    first = torch.tensor([[3.0, -1.0]]).view(1, 1, 1, 2)
    second = torch.tensor([[-10.0, 0.0]]).view(1, 1, 1, 2)
    mim = MIM(nn.Identity(), eps=1, momentum=0.5)
    direction = mim.direction(second, mim.direction(first, torch.zeros_like(first)))
    assert torch.allclose(direction.flatten(), torch.tensor([0.5 * 0.75 - 1, 0.5 * -0.25]))
    assert not mim.direction(torch.zeros_like(first), torch.zeros_like(first)).any()


@pytest.mark.parametrize("kind", EVERY)
def test_an_image_does_not_depend_on_its_batch(kind: type[Attack], small_net: nn.Module) -> None:
    images = whole(torch.randint(0, 256, (3, 3, 16, 16), generator=torch.Generator().manual_seed(4)))
    labels = torch.tensor([1, 2, 3])
    run = kind(small_net, eps=6, steps=3)
    together = run(images, labels)
    alone = torch.cat([run(images[index : index + 1], labels[index : index + 1]) for index in range(3)])
    assert (levels_of(together) != levels_of(alone)).float().mean() < 0.001


def test_through_an_identity_com_model_is_the_plain_attack(small_net: nn.Module) -> None:
    class Identity(ComModel):
        def forward(self, images: Tensor) -> Tensor:
            return images

    images = whole(torch.randint(0, 256, (2, 3, 16, 16), generator=torch.Generator().manual_seed(5)))
    labels = torch.tensor([1, 2])
    models: list[Callable[[Tensor], Tensor]] = [small_net, nn.Sequential(Identity(), small_net)]
    assert torch.equal(*(MIM(model, eps=5, steps=4)(images, labels) for model in models))
    fresh = MIM(nn.Sequential(ComModel(), small_net), eps=5, steps=4)(images, labels)
    assert (levels_of(fresh) == levels_of(MIM(small_net, eps=5, steps=4)(images, labels))).float().mean() > 0.9


def test_attacks_are_found_by_their_module() -> None:
    assert attacks.load("fgsm") is FGSM
    assert attacks.load("comreadv_mim") is MIM


@pytest.mark.parametrize("name", ["nosuch", "attack", "classifiers", "comreadv_", "os", "../mim", "mim.MIM", ""])
def test_an_unknown_attack_is_told_those_that_exist(name: str) -> None:
    with pytest.raises(UserError, match=r"There are best, bim, fgsm, mim, .*, each plain or through"):
        attacks.load(name)


def test_l2_holds_exactly_and_uses_its_budget(small_net: nn.Module) -> None:
    images = whole(torch.randint(0, 256, (3, 3, 16, 16), generator=torch.Generator().manual_seed(6)))
    for kind in (BIM, PGD, MIM, MIMOfficial, Best):
        adversarial = kind(small_net, eps=4, steps=6, step_size=2, norm="l2")(images, torch.tensor([1, 2, 3]))
        change = levels_of(adversarial).double() - levels_of(images).double()
        size = change.square().mean(dim=(1, 2, 3)).sqrt()
        assert (size <= 4).all() and (size > 2).all()
        assert change.abs().max() > 4  # some pixel goes further than it could in L-infinity
        assert torch.equal(adversarial, levels_of(adversarial) / 255)


def test_pgd_starts_elsewhere_and_alike_for_every_image(small_net: nn.Module) -> None:
    images = whole(torch.full((2, 3, 8, 8), 100))
    started = PGD(small_net, eps=5).start(levels_of(images))
    assert torch.equal(started[0], started[1])
    assert 3 < (started - 100).abs().max() <= 5


def test_the_official_momentum_adds_signs_and_moves_by_their_sum(weight: Tensor) -> None:
    attack = MIMOfficial(Linear(weight), eps=200, steps=3, step_size=1)
    adversarial = attack(whole(torch.full((1, 3, 8, 8), 100)), torch.tensor([1]))
    assert torch.equal(levels_of(adversarial)[0], 100 + (1 + 2 + 3) * weight.sign())


def test_nesterov_looks_where_the_momentum_leads() -> None:
    seen = NI(nn.Identity(), eps=10, steps=5, momentum=0.5).lookahead(
        torch.full((1, 3, 2, 2), 100.0), torch.ones(1, 3, 2, 2)
    )
    assert torch.equal(seen, torch.full((1, 3, 2, 2), 101.0))


def test_variance_tuning_takes_its_neighbours_gradients(weight: Tensor) -> None:
    calls = []

    class Counting(Linear):
        def forward(self, images: Tensor) -> Tensor:
            calls.append(images)
            return super().forward(images)

    VMI(Counting(weight), eps=4, steps=3)(torch.zeros(1, 3, 8, 8), torch.tensor([1]))
    assert len(calls) == 3 * (1 + NEIGHBOURS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(2, 3, 64, 50), (1, 1, KERNEL_WIDTH, KERNEL_WIDTH)])
def test_best_smooths_as_torchvision_does(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    gradient = torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(1))
    assert torch.equal(
        smoothed(gradient), gaussian_blur(gradient, [KERNEL_WIDTH, KERNEL_WIDTH], [SMOOTHING_SIGMA, SMOOTHING_SIGMA])
    )


def test_an_attack_starts_without_torchvision() -> None:
    code = "import sys; from attack import attacks, generation; attacks.load('best');"
    code += " from attack.models import classifiers; classifiers.load('efficientnet_lite0');"
    code += " sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_best_keeps_the_iterate_that_succeeds_by_most_on_its_worst_view() -> None:
    class TwoViews(nn.Module):
        """The first view rises with every pixel up to 103 and falls after; the second always rises."""

        def forward(self, images: Tensor) -> Tensor:
            level = 255 * images.mean(dim=(1, 2, 3))
            first = torch.stack([torch.zeros_like(level), 3 - (level - 103).abs()], dim=1)
            second = torch.stack([torch.zeros_like(level), 10 * level], dim=1)
            return torch.stack([first, second])

    best = Best(TwoViews(), eps=8, steps=6)
    adversarial = best(whole(torch.full((1, 3, 8, 8), 100)), torch.tensor([1]))
    assert (levels_of(adversarial) - 103).abs().max() <= 3
    assert Classify().margin(TwoViews()(adversarial), torch.tensor([1]), targeted=True) == best.lead
