"""The hybrid follows the real chain where its layers know it, and learns where they don't."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from crops import photo_crop
from PIL import Image
from torch import Tensor

from collect import codecs
from collect.codecs.quantisation import Tables
from train.layers.encoder import RealSteps
from train.models import checkpoint
from train.models.hybrid import Hybrid
from train.models.residual import Residual
from train.tensors import from_pixels

LUMA, CHROMA = tuple(range(3, 67)), tuple(range(5, 69))  # no encoder's own
BUSY_LUMA, BUSY_CHROMA = (40,) * 64, (60,) * 64


def emulator(chain: str, **more: Any) -> dict[str, Any]:
    return {"chain": chain, "tables": [], "thresholds": None, "identified": True} | more


def tables(share: float, luma: tuple[int, ...], chroma: tuple[int, ...]) -> dict[str, Any]:
    return {"quality": 75, "share": share, "luma": luma, "chroma": chroma}


def real(image: Image.Image, chain: str, own: Tables | None = None) -> Tensor:
    with Image.open(io.BytesIO(codecs.encode(image, chain, own))) as served:
        return from_pixels(served.convert("RGB")) / 255


def batch(*images: Image.Image) -> Tensor:
    return torch.stack([from_pixels(image) / 255 for image in images])


def error(first: Tensor, second: Tensor) -> float:
    assert first.shape == second.shape
    return float(255 * (first - second).abs().mean())


@pytest.mark.parametrize(
    "chain",
    [
        "png",
        "webp:lossless",
        "webp:60",
        "resize:0.7+webp:30:m4",
        "webp:40:m0",
        "webp:70+resize:0.5+avif:60:444:s8",
        "avif:50",
        "jp2:12",
        "jp2:12:irreversible",
        "sharpen:0.5+jp2:33dB",
        "jpeg:75",
        "jpeg:40:444:progressive",
        "jpeg:82:ifast",
        "jpeg:90+resize:0.5:box+jpeg:60:422",
        "fit:50:bicubic+jpeg:80",
        "width:40:hamming+png",
        "resize:0.75:lanczos+jpeg:71",
        "resize:1.3:bicubic+png",
        "resize:0.5:nearest+png",
    ],
)
@pytest.mark.parametrize("size", [(96, 80), (61, 47)])
def test_an_identified_chain_of_exact_layers_is_pillows_to_the_bit(chain: str, size: tuple[int, int]) -> None:
    image = photo_crop(3, 96).crop((0, 0, *size))
    model = Hybrid(emulator(chain))
    assert not list(model.parameters())
    assert error(model(batch(image))[0], real(image, chain)) < 0.002


@pytest.mark.parametrize("amount", [0.4, 0.55, 1.5])
@pytest.mark.parametrize("encoder", ["png", "jpeg:75"])
def test_sharpening_is_pillows_to_the_bit(amount: float, encoder: str) -> None:
    image, chain = photo_crop(3, 96), f"sharpen:{amount}+{encoder}"
    assert error(Hybrid(emulator(chain))(batch(image))[0], real(image, chain)) < 0.002


@pytest.mark.parametrize("size", [(2, 40), (3, 3), (1, 1)])
def test_images_too_small_to_sharpen_are_left_alone(size: tuple[int, int]) -> None:
    image = photo_crop(3, 96).crop((0, 0, *size))
    assert error(Hybrid(emulator("sharpen:0.8+png"))(batch(image))[0], real(image, "sharpen:0.8+png")) < 0.002


def test_a_files_own_tables_are_used() -> None:
    image = photo_crop(1, 64)
    model = Hybrid(emulator("jpeg:tables:444", tables=[tables(1.0, LUMA, CHROMA)]))
    assert error(model(batch(image))[0], real(image, "jpeg:tables:444", (LUMA, CHROMA))) < 0.002


def test_tables_that_vary_are_chosen_by_bitrate_or_else_the_commonest() -> None:
    quiet, busy = photo_crop(1, 64), Image.effect_noise((64, 64), 200).convert("RGB")
    both = [tables(0.4, LUMA, CHROMA), tables(0.6, BUSY_LUMA, BUSY_CHROMA)]
    fine, coarse = ((LUMA, CHROMA), (BUSY_LUMA, BUSY_CHROMA))

    ruled = Hybrid(emulator("jpeg:tables", tables=both, thresholds=[3.0]))(batch(quiet, busy))
    assert error(ruled[0], real(quiet, "jpeg:tables", fine)) < 0.002
    assert error(ruled[1], real(busy, "jpeg:tables", coarse)) < 0.002

    commonest = Hybrid(emulator("jpeg:tables", tables=both))(batch(quiet))
    assert error(commonest[0], real(quiet, "jpeg:tables", coarse)) < 0.002


def test_the_gradient_passes_the_whole_chain() -> None:
    images = batch(photo_crop(2, 64)).requires_grad_()
    (gradient,) = torch.autograd.grad(Hybrid(emulator("resize:0.5+sharpen:0.5+jpeg:70"))(images).square().sum(), images)
    assert gradient.isfinite().all() and (gradient != 0).float().mean() > 0.9


@pytest.mark.parametrize(
    "chain",
    [
        "fit:50:gd:half_up+jpeg:82",
        "resize:0.75:imagemagick+unsharp:0.75:0.75:0.008+jpeg:82",
        "fit:40:imagemagick_8bit+gaussian_sharpen:0.4+png",
        "resize:1.4:imagemagick+png",
        "resize:0.4:canvas+jpeg:92+jpeg:75",
        "resize:0.6:canvas_medium+png",
        "resize:1.5:canvas_high+png",
        "resize:0.4:libvips:half_up+jpeg:80",
    ],
)
def test_a_chain_of_other_software_is_really_run_with_a_gradient_that_comes_near(chain: str) -> None:
    if "libvips" in chain:
        pytest.importorskip("pyvips", exc_type=ImportError)
    image = photo_crop(3, 96).crop((0, 0, 61, 47))
    images = batch(image).requires_grad_()
    model = Hybrid(emulator(chain))
    served = model(images)
    assert error(served[0].detach(), real(image, chain)) < 0.002
    assert isinstance(model.before, RealSteps)
    assert error(model.before.layers(images.detach()), model.before(images.detach())) < 1.7
    (gradient,) = torch.autograd.grad(served.square().sum(), images)
    assert gradient.isfinite().all() and (gradient != 0).float().mean() > 0.9


@pytest.mark.parametrize("chain", ["resize:0.5+jpeg:60", "avif:40", "jp2:12:irreversible", "webp:40:m0"])
def test_what_is_not_known_is_learned_from_a_start_at_what_is(chain: str) -> None:
    torch.manual_seed(3)
    image = photo_crop(4, 64)
    model = Hybrid(emulator(chain, identified=False))
    with torch.no_grad():
        start = model(batch(image))[0]
    *steps, _ = chain.split("+")
    untouched = real(image, "+".join([*steps, "png"]))
    assert 0 < error(start, untouched) < 6
    assert error(start, real(image, chain)) < 0.002  # a residual is nothing at first
    features = model.fixed(batch(image))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    served = real(image, chain)[None].roll(1, dims=-1)  # a layer that is right leaves nothing else to learn
    losses = []
    for _ in range(90):
        loss = F.l1_loss(model.learned(features), served)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(255 * loss.item())
    assert losses[-1] < 0.93 * losses[0]


@pytest.mark.parametrize("size", [(16, 16), (33, 47), (1, 5)])
def test_a_residual_takes_any_size_and_is_nothing_at_first(size: tuple[int, int]) -> None:
    before, after = torch.rand(2, 2, 3, *size)
    assert torch.equal(Residual()(before, after), torch.zeros(2, 3, *size))


@pytest.mark.parametrize("chain", ["jpeg:tables", "avif:50"])
def test_a_checkpoint_alone_rebuilds_it(chain: str, tmp_path) -> None:
    found = emulator(chain, tables=[tables(1.0, LUMA, CHROMA)] if "tables" in chain else [], identified=False)
    model = checkpoint.build("hybrid", emulator=found)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    file = tmp_path / "tiny.safetensors"
    checkpoint.save(file, model, model="hybrid", config={"emulator": found})
    images = batch(photo_crop(0, 48))
    with torch.no_grad():
        assert torch.allclose(checkpoint.load(file)(images), model.eval()(images), atol=1e-5)
