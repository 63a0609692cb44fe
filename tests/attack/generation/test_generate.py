import hashlib
import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models

import params
from attack.attacks import Attack
from attack.generation import generate
from attack.generation.attacker import to_png
from collect import files
from train.models import checkpoint
from train.models.com_model import ComModel
from train.tensors import read_image


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> params.Attack:
    """A quick classifier, which needn't be right here."""
    weights = tmp_path_factory.mktemp("weights") / "mobilenet.pth"
    torch.manual_seed(1)
    torch.save(models.mobilenet_v3_small(weights=None).state_dict(), weights)
    return params.Attack(
        classifier="mobilenet_v3_small",
        weights=weights,
        attacks=("fgsm", "comreadv_mim", "mim"),
        eps=(5, 3),
        steps=2,
        batch_size=2,
    )


@pytest.fixture(scope="module")
def com_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    checkpoint.save(path, ComModel(), model="paper")
    return path


@pytest.fixture
def images(tmp_path: Path, photos: list[tuple[Image.Image, int]]) -> Path:
    """Three test images of a photo each, and one that is not for testing."""
    folder = tmp_path / "images"
    rows = []
    for index, split in enumerate(("test", "test", "test", "train")):
        file = folder / split / f"photo-{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        photos[index][0].resize((64, 64)).save(file)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        rows.append(
            {
                "name": f"{split}/{file.name}",
                "split": split,
                "source": "s",
                "label": None,
                "sha256": digest,
                "crop": None,
            }
        )
    rows.append({"source": "broken.jpg", "set_aside": "truncated"})
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_every_test_image_is_attacked_and_described(
    settings: params.Attack, images: Path, com_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "adversarial" / "tiny"
    made = generate(settings, images, [com_model], out)
    rows = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert rows == [row.model_dump() for row in made]
    expected = [f"eps{e}/{a}/photo-{i}.png" for e in (3, 5) for a in ("comreadv_mim", "fgsm", "mim") for i in range(3)]
    assert [row["file"] for row in rows] == expected
    assert set(contents(out)) == {*expected, "manifest.jsonl"}
    for row in rows:
        eps, attack, file = row["file"].split("/")
        assert (f"eps{row['eps']}", row["attack"], row["image"]) == (eps, attack, f"test/{file}")
        assert row["steps"] == (1 if attack == "fgsm" else 2)
        assert row["target"] == (row["prediction"] + 500) % 1000 and row["targeted"]
        assert row["sha256"] == hashlib.sha256((out / row["file"]).read_bytes()).hexdigest()
        with Image.open(out / row["file"]) as after, Image.open(images / row["image"]) as before:
            assert after.format == "PNG"
            change = np.abs(np.asarray(after, np.int16) - np.asarray(before, np.int16)).max()
        assert row["max_change"] == change and 0 < change <= row["eps"]


def test_an_interrupted_run_resumes_to_the_same_files(
    settings: params.Attack, images: Path, com_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attacked = []
    call = Attack.__call__

    def counting(run: Attack, pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if len(attacked) == limit:
            raise KeyboardInterrupt
        attacked.append(len(pixels))
        return call(run, pixels, labels)

    monkeypatch.setattr(Attack, "__call__", counting)
    settings = settings.model_copy(update={"attacks": ("comreadv_mim", "mim"), "eps": (5,)})
    limit = 3
    broken, whole = tmp_path / "a" / "tiny", tmp_path / "b" / "tiny"
    with pytest.raises(KeyboardInterrupt):
        generate(settings, images, [com_model], broken)
    assert not broken.exists()
    limit = -1
    generate(settings, images, [com_model], broken)
    assert attacked == [2, 2, 1, 1]  # two batches by two attacks: none was repeated
    assert [path.name for path in broken.parent.iterdir()] == ["tiny"]
    generate(settings, images, [com_model], whole)
    assert contents(broken) == contents(whole)


def test_what_was_made_otherwise_is_not_reused(
    settings: params.Attack, images: Path, com_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "tiny"
    plain = settings.model_copy(update={"attacks": ("mim",), "eps": (5,)})
    write = files.write_atomically

    def stop(path: Path, data: bytes | str) -> None:
        write(path, data)
        if path.suffix == ".png":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(import_module("attack.generation.generate"), "write_atomically", stop)
        generate(plain, images, [com_model], out)
    assert contents(out.with_name("tiny.part"))
    untargeted = plain.model_copy(update={"goal": "untargeted"})
    made = generate(untargeted, images, [com_model], out)
    assert all(row.target is None and not row.targeted for row in made)
    fresh = tmp_path / "fresh"
    generate(untargeted, images, [com_model], fresh)
    assert contents(out) == contents(fresh)
    generate(plain, images, [com_model], out)  # and a finished folder is replaced whole
    assert set(contents(out)) == {"manifest.jsonl", *(f"eps5/mim/photo-{index}.png" for index in range(3))}


def test_plain_attacks_need_no_com_model(settings: params.Attack, images: Path, tmp_path: Path) -> None:
    missing = tmp_path / "models" / "tiny.safetensors"
    plain = settings.model_copy(update={"attacks": ("fgsm",)})
    assert len(generate(plain, images, [missing], tmp_path / "out")) == 6
    with pytest.raises(params.UserError, match="comreadv train --platform tiny"):
        generate(settings, images, [missing], tmp_path / "out")


def test_no_test_image_is_the_users_to_mend(
    settings: params.Attack, images: Path, com_model: Path, tmp_path: Path
) -> None:
    manifest = images / "manifest.jsonl"
    manifest.write_text("".join(line for line in manifest.open() if '"split": "test"' not in line))
    with pytest.raises(params.UserError, match="no test image"):
        generate(settings, images, [com_model], tmp_path / "out")


def test_png_keeps_every_grey_level(tmp_path: Path) -> None:
    levels = torch.arange(256).repeat(3, 2, 1)
    (tmp_path / "b.png").write_bytes(to_png(levels.to(torch.uint8)))
    assert torch.equal(read_image(tmp_path / "b.png").long(), levels)
