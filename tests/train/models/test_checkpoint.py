import json
from pathlib import Path

import pytest
import torch
from crops import photo_crop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from collect import codecs
from params import UserError
from train.models import checkpoint
from train.models.com_model import ComModel
from train.models.residual import Residual
from train.tensors import from_pixels


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ComModel]:
    path = tmp_path_factory.mktemp("models") / "sub" / "douban.safetensors"
    torch.manual_seed(2)
    model = ComModel(init="he").to(memory_format=torch.channels_last).eval()
    checkpoint.save(path, model, model="paper", platform="douban", generation=3, mae=1.5)
    return path, model


def test_a_checkpoint_alone_rebuilds_the_model_bit_for_bit(saved: tuple[Path, ComModel]) -> None:
    path, model = saved
    state = torch.random.get_rng_state()
    loaded = checkpoint.load(path)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not loaded.training and not any(parameter.requires_grad for parameter in loaded.parameters())
    images = torch.rand(2, 3, 33, 47)
    assert torch.equal(loaded(images), model(images))
    assert list(path.parent.iterdir()) == [path]


def test_the_settings_of_a_network_are_kept_with_it(tmp_path: Path) -> None:
    emulator = {"chain": "resize:0.5+webp:50", "tables": [], "thresholds": None, "identified": False}
    config = {"emulator": emulator}
    model = checkpoint.build("hybrid", **config).eval()
    assert sum(parameter.numel() for parameter in model.parameters())
    checkpoint.save(tmp_path / "x.safetensors", model, model="hybrid", config=config)
    images = torch.rand(1, 3, 48, 64)
    with torch.no_grad():
        output = checkpoint.load(tmp_path / "x.safetensors")(images)
        assert output.shape == (1, 3, 24, 32) and torch.equal(output, model(images))


def before_real_encoders(path: Path, tensors: dict[str, torch.Tensor], **config: object) -> None:
    """Write a hybrid's checkpoint as it was when WebP and JPEG 2000 were followed, and AVIF learned."""
    save_file(tensors, path, metadata={"comreadv": json.dumps({"model": "hybrid", "config": config})})


RESIDUAL = {f"residual.{name}": each for name, each in Residual().state_dict().items()}
LEARNED_WHOLE = {"encoder.steps": torch.zeros(4, 48), "encoder.net.stem.bias": torch.zeros(64)}


@pytest.mark.parametrize(
    ("chain", "identified", "tensors"),
    [
        ("webp:50:m4", True, {}),
        ("webp:50:m2", True, RESIDUAL),
        ("sharpen:0.4+jp2:10", True, RESIDUAL),
        ("avif:50", True, LEARNED_WHOLE),
        ("jpeg:50", True, {}),
        ("webp:50:m4+jpeg:50", True, {}),
    ],
)
def test_an_earlier_checkpoint_of_an_identified_chain_is_the_real_codec(
    chain: str, identified: bool, tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    emulator = {"chain": chain, "tables": [], "thresholds": None, "identified": identified}
    before_real_encoders(tmp_path / "x.safetensors", tensors, emulator=emulator)
    image = photo_crop(2, 64)
    served = checkpoint.load(tmp_path / "x.safetensors")(from_pixels(image)[None] / 255)[0]
    assert (255 * served - from_pixels(codecs.decoded(image, chain))).abs().max() < 1.5


@pytest.mark.parametrize(
    ("chain", "tensors"),
    [("webp:50:m2", RESIDUAL), ("jp2:10", RESIDUAL), ("avif:50", LEARNED_WHOLE), ("webp:60+jpeg:50", RESIDUAL)],
)
def test_an_earlier_checkpoint_that_learned_what_is_no_more_is_refused(
    chain: str, tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    emulator = {"chain": chain, "tables": [], "thresholds": None, "identified": False}
    before_real_encoders(tmp_path / "x.safetensors", tensors, emulator=emulator)
    with pytest.raises(UserError, match=r"by an earlier version beside .*comreadv train --platform x"):
        checkpoint.load(tmp_path / "x.safetensors")


def test_an_earlier_checkpoint_of_a_jpeg_keeps_what_it_learned(tmp_path: Path) -> None:
    emulator = {"chain": "jpeg:50", "tables": [], "thresholds": None, "identified": False}
    before_real_encoders(tmp_path / "x.safetensors", RESIDUAL, emulator=emulator)
    loaded = checkpoint.load(tmp_path / "x.safetensors").state_dict()
    assert loaded.keys() == RESIDUAL.keys() and all(torch.equal(loaded[name], RESIDUAL[name]) for name in loaded)


def test_metadata_come_back(saved: tuple[Path, ComModel]) -> None:
    assert checkpoint.read_metadata(saved[0]) == {
        "model": "paper",
        "platform": "douban",
        "generation": 3,
        "mae": 1.5,
        "layers": checkpoint.LAYERS,
    }


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=200), st.integers(0, 5000)))
def test_damaged_files_are_the_users_to_mend(saved: tuple[Path, ComModel], tmp_path: Path, damage: bytes | int) -> None:
    """Any bytes, or the checkpoint's own first so many."""
    path = tmp_path / "douban.safetensors"
    with saved[0].open("rb") as file:
        path.write_bytes(damage if isinstance(damage, bytes) else file.read(damage))
    with pytest.raises(UserError, match="comreadv train --platform douban"):
        checkpoint.load(path)


def test_foreign_files_are_the_users_to_mend(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tensors = {"weight": torch.zeros(2)}
    for metadata in (
        None,
        {"comreadv": "[]"},
        {"comreadv": '{"model": "other"}'},
        {"comreadv": '{"model": "paper"}'},
        {"comreadv": '{"model": "hybrid", "config": {"emulator": {}}}'},
        {"comreadv": '{"model": "paper", "config": 5}'},
    ):
        save_file(tensors, path, metadata=metadata)
        with pytest.raises(UserError, match="no ComModel of ours"):
            checkpoint.load(path)
    with pytest.raises(UserError, match="There is no ComModel"):
        checkpoint.load(tmp_path / "none.safetensors")


def test_an_interrupted_write_leaves_the_old_file(
    saved: tuple[Path, ComModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"old")

    def stop(*_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(path, saved[1], model="paper")
    assert path.read_bytes() == b"old"
