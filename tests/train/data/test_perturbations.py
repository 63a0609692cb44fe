import io
from collections.abc import Callable

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import params
from train.data.pairs import Pairs, load_pairs
from train.data.perturbations import Kind, perturbed, window_of
from train.layers.encoder import serve
from train.models.com_model import ComModel
from train.training.metrics import perturbed_error
from train.training.sampler import Sampler

HERE = torch.device("cpu")


class Blur(nn.Module):
    """A ComModel that passes low frequencies alone."""

    def fixed(self, images: Tensor) -> Tensor:
        return images

    def learned(self, features: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(features, 5, 1, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.learned(self.fixed(images))


def jpeg(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=10)
    return Image.open(file)


def change(kind: Kind, seed: int, eps: float = 6) -> tuple[Tensor, Tensor]:
    """Return a grey image's change, and what is left of it behind a blur, in grey levels."""
    image = torch.full((3, 48, 50), 100, dtype=torch.uint8)
    changed = perturbed(Blur(), image, eps, kind, torch.Generator().manual_seed(seed), HERE)
    assert changed.dtype == torch.uint8
    difference = changed.float() - image
    return difference, Blur()(difference[None])[0]


@pytest.mark.parametrize("kind", ["noise", "adversarial"])
def test_a_change_keeps_to_its_strength_and_repeats_with_the_seed(kind: Kind) -> None:
    first, second, other = (change(kind, seed)[0] for seed in (1, 1, 2))
    assert first.abs().max() == 6 and first.abs().float().mean() > 2
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_an_adversarial_change_goes_where_the_model_listens() -> None:
    left = {kind: sum(change(kind, seed)[1].abs().mean().item() for seed in range(20)) for kind in KINDS}
    assert left["adversarial"] > 1.1 * left["noise"]


def test_a_change_made_for_a_window_is_repeated_on_the_codecs_grid() -> None:
    image = torch.full((3, 90, 100), 100, dtype=torch.uint8)
    whole = perturbed(Blur(), image, 6, "adversarial", torch.Generator().manual_seed(3), HERE, 32).float() - 100
    assert whole.shape == (3, 90, 100) and whole.abs().mean() > 2 and whole.abs().max() == 6
    assert torch.equal(whole[:, 32:], whole[:, :-32]) and torch.equal(whole[..., 32:], whole[..., :-32])
    corners, window = set(), torch.arange(90 * 100).view(1, 1, 90, 100)
    for seed in range(100):
        part, (rows, columns) = window_of(window, 32, torch.Generator().manual_seed(seed))
        top, left = divmod(int(part[0, 0, 0, 0]), 100)
        assert part.shape == (1, 1, 32, 32) and rows[top] == columns[left] == 0 and len(rows) == 90
        corners.add((top, left))
    assert corners == {(top, left) for top in range(0, 59, 16) for left in range(0, 69, 16)}


def test_changes_stay_in_the_range_of_pixels() -> None:
    image = torch.tensor([0, 255], dtype=torch.uint8).repeat(3, 16, 8)
    changed = perturbed(Blur(), image, 9, "adversarial", torch.Generator().manual_seed(0), HERE)
    assert (changed.int() - image.int()).abs().max() <= 9


def test_weights_get_no_gradient_from_a_change() -> None:
    model = ComModel()
    perturbed(model, torch.zeros(3, 16, 16, dtype=torch.uint8), 4, "adversarial", torch.Generator(), HERE)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_error_is_measured_against_the_real_chain(make_pairs: Callable[..., object]) -> None:
    test = load_pairs(make_pairs(test=2), "test")  # type: ignore[arg-type]
    for kind in KINDS:
        # a chain that returns the image has no error but the blur's, and one that blurs as the model has none
        assert perturbed_error(ComModel().eval(), test, lambda image: image, 8, kind, 0) < 0.01
        assert perturbed_error(ComModel().eval(), test, jpeg, 8, kind, 0) > 3


def test_training_draws_the_share_of_changed_images_asked_for(make_pairs: Callable[..., object]) -> None:
    training: Pairs = load_pairs(make_pairs(side=32, train=4), "train")  # type: ignore[arg-type]
    plain = {rendition.numpy().tobytes() for _, rendition in training}
    settings = params.Train(batch_size=4, crop=32, perturbed=0.5)
    sampler = Sampler(Blur(), training, settings, jpeg, HERE)
    changed = 0
    for step in range(60):
        features, renditions = sampler.batch(step, torch.manual_seed(step))
        assert bool((renditions[:, 3] == 255).all())  # nothing is hidden
        renditions = renditions[:, :3]
        kinds = {rendition.numpy().tobytes() in plain for rendition in renditions}
        assert len(kinds) == 1 and len(features) == 4
        if kinds == {False}:
            changed += 1
            served = serve(jpeg, (features[0] * 255).round().to(torch.uint8))
            assert torch.equal(served, renditions[0])
    assert 18 < changed < 42
    unknown = Sampler(Blur(), training, settings, None, HERE)
    assert all(
        rendition.numpy().tobytes() in plain
        for step in range(20)
        for rendition in unknown.batch(step, torch.manual_seed(step))[1][:, :3]
    )


KINDS: tuple[Kind, ...] = ("noise", "adversarial")
