"""Attack on a cluster of two nodes, a worker killed in the middle: the files of the run without a cluster."""

import hashlib
import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from PIL import Image
from torchvision import models

import params
from attack.evaluation.judge import Judge, Sent, WorkerInit
from attack.generation import generate
from attack.models import classifiers
from train.cluster.executor import Ray
from train.models import checkpoint
from train.models.com_model import ComModel

IMAGES = 32


@pytest.fixture
def settings(tmp_path: Path) -> params.Attack:
    weights = tmp_path / "mobilenet.pth"
    torch.manual_seed(1)
    torch.save(models.mobilenet_v3_small(weights=None).state_dict(), weights)
    return params.Attack(
        classifier="mobilenet_v3_small",
        weights=weights,
        attacks=("comreadv_mim", "best"),
        eps=(5,),
        steps=2,
        batch_size=4,
    )


@pytest.fixture
def com_model(tmp_path: Path) -> Path:
    path = tmp_path / "models" / "tiny.safetensors"
    checkpoint.save(path, ComModel(), model="paper")
    return path


@pytest.fixture
def images(tmp_path: Path, photos: list[tuple[Image.Image, int]]) -> Path:
    """Prepare test images: windows of photos."""
    folder, rows = tmp_path / "images", []
    for index in range(IMAGES):
        file = folder / "test" / f"photo-{index:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        left = 2 * index
        photos[index % len(photos)][0].crop((left, left, left + 64, left + 64)).save(file)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        row = {"name": f"test/{file.name}", "split": "test", "source": "s", "label": None, "crop": None}
        rows.append(row | {"sha256": digest})
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def kill_a_worker(written: Path, killed: list[int]) -> None:
    """Wait for a file, then kill a process that is at work on a shard."""
    while not list(written.rglob("*.png")):
        time.sleep(0.01)
    while not killed:
        for process in psutil.process_iter(["name", "cmdline"]):
            if "ray::_work" in " ".join(process.info["cmdline"] or []) + (process.info["name"] or ""):
                os.kill(process.pid, signal.SIGKILL)
                killed.append(process.pid)
                break


@pytest.mark.slow
def test_a_cluster_makes_the_same_files_and_a_killed_worker_changes_none(
    settings: params.Attack, images: Path, com_model: Path, tmp_path: Path, on_ray: Ray
) -> None:
    generate(settings, images, [com_model], tmp_path / "local")
    killed: list[int] = []
    killer = threading.Thread(target=kill_a_worker, args=(tmp_path / "hurt.part", killed), daemon=True)
    killer.start()
    generate(settings, images, [com_model], tmp_path / "hurt", on_ray)
    assert killed  # the other worker did its part in peace
    assert contents(tmp_path / "hurt") == contents(tmp_path / "local")


def test_a_cluster_judges_as_this_process_does(
    settings: params.Attack, images: Path, com_model: Path, tmp_path: Path, on_ray: Ray
) -> None:
    plain = settings.model_copy(update={"attacks": ("mim",)})
    made = generate(plain, images, [com_model], tmp_path / "out")
    some = []
    for row in made[:8]:
        uploaded, photo = (tmp_path / "out" / row.file).read_bytes(), (images / row.image).read_bytes()
        jpeg = tmp_path / "served.jpg"
        Image.open(tmp_path / "out" / row.file).save(jpeg, quality=75)
        some.append(Sent(row, uploaded, photo, (row.file, jpeg.read_bytes())))
    some.append(replace(some[0], served=None))
    start = WorkerInit("sandbox", params.Pairing(), classifiers.load(settings.classifier, settings.weights))
    judge: Judge = start()
    expected = [judge(some[:5]), judge(some[5:])]
    assert list(on_ray.map(start, [some[:5], some[5:]])) == expected
    assert expected[0][0].psnr and expected[1][-1].reason == "refused by the platform"
