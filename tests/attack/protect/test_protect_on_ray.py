"""Protect a folder on a cluster of two nodes, a worker killed in the middle: the files of the run without a cluster."""

import os
import signal
from pathlib import Path

import psutil
import pytest
import torch
from PIL import Image

from attack.models import classifiers
from attack.protect import photo
from attack.protect.batch import Result, protect_all
from attack.protect.photo_model import Processing
from attack.protect.protector import ProtectionRequest, Protector
from train.cluster.executor import Local, Ray
from train.emulator.model import Emulator

PHOTOS = 8


@pytest.fixture
def album(tmp_path: Path, photos: list[tuple[Image.Image, int]]) -> Path:
    (tmp_path / "album").mkdir()
    for number in range(PHOTOS):
        window = (3 * number, number, 3 * number + 64, number + 64)
        photos[number % len(photos)][0].crop(window).save(tmp_path / "album" / f"{number:02}.png")
    (tmp_path / "album" / "bad.png").write_bytes(b"no photo")
    return tmp_path / "album"


@pytest.mark.slow
def test_a_cluster_protects_as_this_process_does_though_a_worker_is_killed(
    album: Path, tmp_path: Path, on_ray: Ray
) -> None:
    emulator = Emulator(chain="jpeg:85:444", format="JPEG", identified=True, mae=0, exact=1, pairs=9, why="the test's")
    request = ProtectionRequest(goal="untargeted", eps=4, visibility=None, kind="png", keep_metadata=False)
    models = {"efficientnet_lite0": classifiers.load("efficientnet_lite0")}
    protector = Protector(request, [Processing("weibo", emulator, torch.nn.Identity())], models, {"of": "the test"})
    killed: list[int] = []

    def protect(out: Path, on: Local | Ray, *, kill: bool = False) -> list[Result]:
        results: list[Result] = []

        def tell(result: Result) -> None:
            results.append(result)
            if kill and not killed:
                for process in psutil.process_iter(["name", "cmdline"]):
                    if "ray::_work" in " ".join(process.info["cmdline"] or []) + (process.info["name"] or ""):
                        os.kill(process.pid, signal.SIGKILL)
                        killed.append(process.pid)
                        return

        protect_all(protector, photo.find_photos([album], out), out, ".png", tell, on)
        return results

    here, there = protect(tmp_path / "here", Local()), protect(tmp_path / "there", on_ray, kill=True)
    assert killed
    assert [(each.source, each.reason) for each in there] == [(each.source, each.reason) for each in here]
    assert [bool(each.row) for each in here] == [True] * PHOTOS + [False]
    for one, other in zip(here, there, strict=True):
        if one.row and other.row:
            assert Path(one.row.output).read_bytes() == Path(other.row.output).read_bytes()
            assert one.row.model_copy(update={"output": ""}) == other.row.model_copy(update={"output": ""})
    assert not any(each.copy for each in there)
    Path(there[0].row.output).unlink()  # type: ignore[union-attr]
    again = protect(tmp_path / "there", on_ray)
    assert [each.done_before for each in again].count(True) == PHOTOS - 1
    assert Path(there[0].row.output).exists()  # type: ignore[union-attr]
