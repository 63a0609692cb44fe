"""Protecting five times as many photos takes as much memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from train.emulator.model import Emulator

ROOT = Path(__file__).parents[2]


def peak(folder: Path, count: int) -> int:
    """Protect so many small photos in a child; return its largest memory, KiB."""
    album, out = folder / f"album-{count}", folder / f"out-{count}"
    album.mkdir()
    for number in range(count):
        random = np.random.default_rng(number)
        coarse = Image.fromarray(random.integers(0, 256, (5, 5, 3), dtype=np.uint8))
        coarse.resize((96, 96), Image.Resampling.BICUBIC).save(album / f"{number:04}.png")
    program = [str(Path(sys.executable).parent / "comreadv"), "protect", str(album), "--out", str(out)]
    with subprocess.Popen(
        [*program, "--platform", "weibo"],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as run:
        assert run.stdout
        said = run.stdout.read()
        _, status, usage = os.wait4(run.pid, 0)  # of this child alone
    assert status == 0 and "survive everywhere" in said
    assert len((out / "protected.jsonl").read_text().splitlines()) == count
    print(said)
    return usage.ru_maxrss


def test_500_photos_need_as_much_memory_as_100(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").symlink_to(ROOT / "params.yaml")
    known = Emulator(chain="jpeg:85:444", format="JPEG", identified=True, mae=0, exact=1, pairs=9, why="the test's")
    known.save(tmp_path / "models" / "weibo.emulator.json")
    few, many = peak(tmp_path, 100), peak(tmp_path, 500)
    print(json.dumps({"100": few, "500": many, "ratio": round(many / few, 3)}))
    assert many / few <= 1.10
