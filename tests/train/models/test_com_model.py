import pytest
import torch

from train.models.com_model import ComModel, SameConv


@pytest.fixture(scope="module")
def fresh() -> ComModel:
    torch.manual_seed(1)
    return ComModel()


@pytest.mark.parametrize("size", [(64, 64), (17, 33), (1, 1), (48, 100)])
def test_fresh_net_returns_its_input_at_any_size(fresh: ComModel, size: tuple[int, int]) -> None:
    images = torch.rand(2, 3, *size)
    images[0] = 0
    images[1, 0] = 1
    outputs = fresh(images)
    assert outputs.shape == images.shape
    assert (outputs - images).abs().max() * 255 < 0.5


def test_layout_is_the_papers(fresh: ComModel) -> None:
    shapes = {name: tuple(parameter.shape) for name, parameter in fresh.named_parameters() if "weight" in name}
    assert shapes["stem.weight"] == (64, 3, 4, 4)
    for name, (inputs, inner, outputs) in {
        "down1": (64, 16, 64),
        "down2": (64, 32, 128),
        "down3": (128, 64, 256),
        "down4": (256, 128, 512),
        "bridge": (512, 128, 512),
    }.items():
        assert shapes[f"{name}.reduce.weight"] == (inner, inputs, 1, 1)
        assert shapes[f"{name}.spatial.weight"] == (inner, inner, 4, 4)
        assert shapes[f"{name}.expand.weight"] == (outputs, inner, 1, 1)
        assert shapes.get(f"{name}.shortcut.weight") == (None if name == "bridge" else (outputs, inputs, 1, 1))
    # transposed convolutions have inputs first; half of them are the encoder's feature
    assert [shapes[f"up{number}.weight"][:2] for number in (1, 2, 3, 4)] == [
        (1024, 256),
        (512, 128),
        (256, 64),
        (128, 64),
    ]
    assert shapes["head.weight"] == (3, 64, 4, 4)
    assert len(shapes) == 1 + 5 * 3 + 4 + 4 + 1


def test_gradients_reach_every_layer_at_the_first_step(fresh: ComModel) -> None:
    fresh.zero_grad()
    images = torch.rand(2, 3, 32, 32)
    (fresh(images) - 0.9 * images).abs().mean().backward()
    for name, parameter in fresh.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_gradients_pass_at_black_and_white_pixels(fresh: ComModel) -> None:
    for level in (0.0, 1.0):
        images = torch.full((1, 3, 32, 32), level, requires_grad=True)
        (gradient,) = torch.autograd.grad(fresh(images).sum(), images)
        assert (gradient - 1).abs().max() < 0.01


def test_output_is_linear_and_may_pass_white() -> None:
    model = ComModel()
    with torch.no_grad():
        assert model.head.bias is not None
        model.head.bias += 0.5
    assert model(torch.ones(1, 3, 16, 16)).min() > 1.4


def test_same_convolution_pads_as_tensorflow() -> None:
    convolution = SameConv(1, 1, 4)
    torch.nn.init.zeros_(convolution.weight)
    torch.nn.init.zeros_(convolution.bias)
    with torch.no_grad():
        convolution.weight[0, 0, 1, 1] = 1  # with one zero before, position 1 is the pixel itself
    image = torch.rand(1, 1, 5, 7)
    assert torch.equal(convolution(image), image)


def test_he_initialisation_keeps_the_signals_size() -> None:
    torch.manual_seed(0)
    output = ComModel(init="he")(torch.rand(2, 3, 32, 32))
    assert 0.1 < output.std() < 100
