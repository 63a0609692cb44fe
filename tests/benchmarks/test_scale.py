"""How cost grows with images, epochs, platforms and workers: the measured points of docs/scale.md.

One thread a worker, so that two workers have a core each; a cluster of two nodes, both on this machine.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray
import torch
from PIL import Image
from ray.cluster_utils import Cluster

import params
from attack.generation import generate
from collect import codecs
from pairing.build import build
from train.cluster.executor import Local, Ray
from train.cluster.job import Job
from train.cluster.worker_group import fit_all
from train.models import checkpoint
from train.models.com_model import ComModel

PHOTOS = Path(os.environ.get("COMREADV_ILSVRC") or Path(__file__).parents[3] / "shared/ilsvrc-sample/val")
IMAGES = {"train": 128, "validation": 8, "test": 32}
ATTACK = params.Attack(classifier="efficientnet_lite0", attacks=("best",), eps=(5,), steps=10, batch_size=4)
TRAIN = params.Train(model="paper", minutes=None, perturbed=0, patience=1, epochs=2)
CHAIN = "webp:50"
PAIRING = params.Pairing()


@pytest.fixture(scope="module")
def on_ray() -> Iterator[Ray]:
    torch.set_num_threads(1)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    yield Ray(cluster.address)
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project's folder with 168 prepared photos, and what a WebP encoder makes of them as two platforms' pairs."""
    folder, rows, trips = tmp_path_factory.mktemp("scale"), [], []
    files = iter(sorted(PHOTOS.glob("*/*.JPEG")))
    for split, count in IMAGES.items():
        for number in range(count):
            name = f"{split}/{number:03}.png"
            original = folder / "data/images" / name
            original.parent.mkdir(parents=True, exist_ok=True)
            try:
                photo = Image.open(next(files)).convert("RGB").resize((224, 224), Image.Resampling.LANCZOS)
            except StopIteration:
                pytest.skip(f"{PHOTOS} holds too few photos; set COMREADV_ILSVRC")
            photo.save(original, compress_level=1)
            served = (folder / "data/round_trips/one" / name).with_suffix(".webp")
            served.parent.mkdir(parents=True, exist_ok=True)
            served.write_bytes(body := codecs.encode(photo, CHAIN))
            digest = hashlib.sha256(original.read_bytes()).hexdigest()
            rows.append({"name": name, "split": split, "source": "x", "label": None, "crop": None, "sha256": digest})
            about = {"source": name, "source_sha256": digest, "file": f"{split}/{number:03}.webp", "format": "WEBP"}
            about |= {"platform": "one", "generation": 1, "remote_id": name, "rendition": "full", "bytes": len(body)}
            trips.append(about | {"sha256": hashlib.sha256(body).hexdigest()})
    for file, lines in (("data/images", rows), ("data/round_trips/one", trips)):
        (folder / file / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    checkpoint.save(folder / "models/tiny.safetensors", ComModel(), model="paper")
    return folder


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def test_cost_by_images_epochs_platforms_and_workers(
    project: Path, on_ray: Ray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setattr(os, "environ", os.environ | {"OMP_NUM_THREADS": "1"})
    told = []
    taken = seconds(
        lambda: build(Path("data/images"), Path("data/round_trips/one"), Path("data/pairs/one.db"), PAIRING)
    )
    told.append(f"pairing, 168 pairs, one process: {taken:.1f} s, {taken / 168:.3f} s a pair")
    for other in ("two", "three", "four"):
        shutil.copy("data/pairs/one.db", f"data/pairs/{other}.db")

    def attacked(count: int, where: Local | Ray) -> float:
        images = tmp_path / f"images-{count}"
        images.mkdir(exist_ok=True)
        lines = [json.loads(line) for line in Path("data/images/manifest.jsonl").read_text().splitlines()]
        chosen = [line for line in lines if line["split"] == "test"][:count]
        (images / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in chosen))
        if not (images / "test").exists():
            (images / "test").symlink_to(Path("data/images/test").resolve())
        out = tmp_path / "out"
        return seconds(lambda: generate(ATTACK, images, [Path("models/tiny.safetensors")], out, where))

    attacked(4, Local())
    attacked(8, on_ray)  # both workers load the models
    for count in (8, 16, 32):
        here, there = attacked(count, Local()), attacked(count, on_ray)
        told.append(f"attack, {count} images: one process {here:.1f} s, two workers {there:.1f} s ({here / there:.2f})")

    def trained(names: tuple[str, ...], epochs: int, ranks: int) -> tuple[float, float]:
        jobs = [Job(name, TRAIN.model_copy(update={"epochs": epochs})) for name in names]
        start = time.perf_counter()
        found = dict(fit_all(jobs, ranks, on_ray))
        assert all(isinstance(each, dict) for each in found.values())
        return time.perf_counter() - start, max(each["seconds"] for each in found.values())  # type: ignore[index]

    for epochs in (2, 4, 8):
        for ranks in (1, 2):
            whole, steps = trained(("one",), epochs, ranks)
            told.append(
                f"training, {epochs} epochs of 128 images, {ranks} ranks: {steps:.1f} s of steps, {whole:.1f} s in all"
            )
    for names in (("one",), ("one", "two"), ("one", "two", "three", "four")):
        whole, _ = trained(names, 4, 1)
        told.append(f"training, {len(names)} platforms, 4 epochs, one rank each, two workers: {whole:.1f} s")
    print("\n" + "\n".join(told))
