"""Small photos and a folder of one's own for tests that collect."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from collect.originals import Original

Photos = Callable[[int], Sequence[Original]]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder, with secrets kept below it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


@pytest.fixture
def photos(workplace: Path) -> Photos:
    """Make so many different images of 64×64 pixels with smooth and busy parts."""

    def make(count: int) -> Sequence[Original]:
        folder = workplace / "photos"
        folder.mkdir(exist_ok=True)
        originals = []
        for number in range(count):
            random = np.random.default_rng(number)
            coarse = Image.fromarray(random.integers(0, 256, (5, 5, 3), dtype=np.uint8))
            pixels = np.asarray(coarse.resize((64, 64), Image.Resampling.BICUBIC)).astype(np.int16)
            pixels[:, 32:] += random.integers(-20, 21, (64, 32, 3))
            file = folder / f"{number:03}.png"
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file)
            originals.append(Original.of(file, f"train/{file.name}"))
        return originals

    return make
