import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from attack.attacks.mim import MIM
from attack.bench.peers import PEERS, KorniaJpeg, Peer, TorchattacksMifgsm
from attack.models import classifiers
from params import UserError, attacks

for package in ("torchattacks", "foolbox", "kornia"):
    pytest.importorskip(package)
kinds = pytest.mark.parametrize("kind", PEERS.values(), ids=PEERS)


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed)) / 255


def loss(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    with torch.no_grad():
        return nn.functional.cross_entropy(model(images), labels, reduction="none")


@kinds
@pytest.mark.parametrize("targeted", [True, False])
@pytest.mark.parametrize("step_size", [None, 2.3])
def test_whole_grey_levels_within_eps_in_as_many_gradients_as_steps(
    kind: type[Peer], targeted: bool, step_size: float | None, small_net: nn.Module
) -> None:
    passes = []
    counting = nn.Sequential(small_net)
    counting.register_full_backward_hook(lambda *_: passes.append(1))
    images, labels = noise(3, 3, 32, 32), torch.tensor([1, 2, 3])
    images[0] = images[0].round()  # black and white, where there is room on one side alone
    given = images.clone()
    peer = kind(counting.eval(), eps=5, steps=7, step_size=step_size, targeted=targeted)
    adversarial = peer(images, labels)
    levels = (adversarial * 255).round()
    assert torch.equal(images, given) and torch.equal(adversarial, levels / 255)
    assert levels.min() >= 0 and levels.max() <= 255
    assert (levels - (images * 255).round()).abs().max() == 5
    assert len(passes) == peer.gradient_evaluations == 7
    before, after = loss(small_net, images, labels), loss(small_net, adversarial, labels)
    assert (after < before if targeted else after > before).all()
    assert torch.equal(peer(images, labels), adversarial)
    assert peer.gradient_evaluations == 7  # of one call, not of all


@kinds
def test_step_size_is_in_grey_levels_and_eps_over_steps_unless_given(kind: type[Peer], small_net: nn.Module) -> None:
    images, labels = noise(1, 3, 32, 32), torch.tensor([1])
    for step_size, farthest in ((None, 2), (3.0, 3)):
        adversarial = kind(small_net, eps=8, steps=4, step_size=step_size)
        adversarial.steps = 1
        assert ((adversarial(images, labels) - images) * 255).abs().max().round() == farthest


def test_torchattacks_is_our_mim_but_for_rounding(small_net: nn.Module) -> None:
    images, labels = noise(3, 3, 32, 32), torch.tensor([1, 2, 3])
    theirs, ours = (kind(small_net, eps=5, steps=10)(images, labels) for kind in (TorchattacksMifgsm, MIM))
    assert ((theirs - ours).abs() < 1 / 510).float().mean() > 0.99


@kinds
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.filterwarnings("ignore:The PyTorch model is in training mode")
def test_the_model_is_left_in_its_mode(kind: type[Peer], training: bool) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4)).train(training)
    kind(model, eps=2, steps=2)(noise(1, 3, 16, 16), torch.tensor([1]))
    assert model.training == training


@kinds
def test_a_flat_objective_changes_nothing(kind: type[Peer]) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4)).eval()
    nn.init.zeros_(model[1].weight)
    images = noise(2, 3, 16, 16)
    assert torch.equal(kind(model, eps=5, steps=3)(images, torch.tensor([0, 1])), images)


@pytest.mark.parametrize(("height", "width"), [(224, 224), (33, 50), (8, 15)])
def test_kornias_jpeg_keeps_any_size(height: int, width: int) -> None:
    rows = torch.linspace(0, 1, height).view(1, 1, -1, 1)
    images = (rows * torch.linspace(0.2, 0.8, width)).expand(2, 3, -1, -1).clone().requires_grad_()
    decoded = KorniaJpeg(90)(images)
    assert decoded.shape == images.shape
    assert (decoded - images).abs().mean() < 0.02
    padded = nn.functional.pad(images, (0, -width % 16, 0, -height % 16), mode="replicate")
    assert torch.equal(decoded, KorniaJpeg(90)(padded)[..., :height, :width])
    decoded.sum().backward()
    assert images.grad is not None and images.grad.isfinite().all()


def test_kornias_quality_reaches_the_gradient(small_net: nn.Module) -> None:
    images, labels = noise(1, 3, 32, 32), torch.tensor([1])
    found = [PEERS["kornia_mim"](small_net, eps=5, steps=3, quality=quality)(images, labels) for quality in (30, 95)]
    assert not torch.equal(*found)


@kinds
def test_two_photos_reach_their_target(kind: type[Peer], photos: list[tuple[Image.Image, int]]) -> None:
    model = classifiers.load("efficientnet_lite0")
    images = torch.stack([torch.from_numpy(np.array(photo)).permute(2, 0, 1) for photo, _ in photos[:2]]) / 255
    targets = torch.tensor([(label + 500) % 1000 for _, label in photos[:2]])
    settings = {"quality": 95} if kind is PEERS["kornia_mim"] else {}
    adversarial = kind(model, eps=5, steps=10, step_size=1, **settings)(images, targets)
    assert torch.equal(model(adversarial).argmax(dim=1), targets)


@kinds
def test_a_missing_package_is_told_with_its_command(
    kind: type[Peer], small_net: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("torchattacks", "foolbox", "kornia.enhance"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r"needs the package \w+.*\. Run `pip install"):
        kind(small_net, eps=1)(noise(1, 3, 16, 16), torch.tensor([1]))


def test_peers_are_no_attacks_of_ours() -> None:
    assert "peers" not in attacks()
