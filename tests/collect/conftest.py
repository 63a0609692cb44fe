"""Small photos, a folder of one's own, a small disk and a clock for tests that collect."""

import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import sync_playwright
from shared_browser import shared_browser

from collect.browser import launch, login, storage_state
from collect.platform import Site
from collect.round_trip import Original

Photos = Callable[[int], Sequence[Original]]


class Clock:
    """Stand in for the module `time`: nobody waits, but time passes by what is slept."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now - 1_600_000_000.0

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture(scope="module", autouse=True)
def browsers() -> Iterator[None]:
    """Let the tests of a module hand a browser on to each other."""
    with shared_browser():
        yield


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder, with secrets kept below it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


@pytest.fixture
def sign_in() -> Callable[[Site], None]:
    """Sign in to a sandbox and store the state, as a person does at the real site."""

    def signed_in(adapter: Site) -> None:
        with sync_playwright() as playwright:
            context = launch.launch_browser(playwright, adapter).new_context()
            login.sign_in_locally(adapter, context.new_page())
            storage_state.save_state(adapter, context.storage_state())

    return signed_in


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


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """Give an empty folder on a disk of one megabyte; skip where we may not mount one."""
    folder = Path(tempfile.mkdtemp(prefix="small"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        folder.rmdir()
        pytest.skip("mounting a small disk is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
    folder.rmdir()


@pytest.fixture
def clock() -> Clock:
    """Give a clock to put in the place of a module's `time`."""
    return Clock()
