"""Adding is one file: a platform (and its row), a resize kernel, an encoder, a command; nothing else is touched."""

import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

ROOT = Path(__file__).parent.parent
PLATFORM = '''
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from collect.platform import LocalPlatform


class Shelf(LocalPlatform):
    """A folder that keeps what it is given as JPEG."""

    name = "shelf"
    renditions = ("file",)

    @contextmanager
    def session(self, storage) -> Iterator["Session"]:
        storage.mkdir(parents=True, exist_ok=True)
        yield Session(storage)


class Session:
    account = "1"

    def __init__(self, storage) -> None:
        self.storage = storage

    def upload(self, batch) -> dict[int, str]:
        for file in batch.files:
            Image.open(file).save(self.storage / file.stem, "JPEG", quality=60)
        return self.read_back(batch)

    def read_back(self, batch) -> dict[int, str]:
        return {at: file.stem for at, file in enumerate(batch.files) if (self.storage / file.stem).exists()}

    def download(self, remote_ids, rendition, files, accept=None) -> list[str]:
        for remote_id, file in zip(remote_ids, files):
            file.write_bytes((self.storage / remote_id).read_bytes())
        return list(remote_ids)

    def delete(self, remote_ids, title) -> None:
        for remote_id in remote_ids:
            (self.storage / remote_id).unlink(missing_ok=True)
'''
KERNEL = '''
from PIL import Image

from collect.codecs.kernels import Kernel


def interpolate(image, size):
    """Resize by bilinear interpolation that doesn't widen where it shrinks."""
    return image.transform(size, Image.Transform.EXTENT, (0, 0, *image.size), Image.Resampling.BILINEAR)


KERNELS = {"plain": Kernel(interpolate)}
'''
USE_KERNEL = """
from collect.codecs.kernels.interpolation import interpolate
from collect.codecs.kernels import SizeRule
from pairing.alignment.registration import register
from train.emulator import identify
from train.layers.resize import Resize
from train.tensors import from_pixels

image = Image.open(files()[0][0])
served = codecs.decoded(image, "resize:0.7:plain+png")
assert served.tobytes() == interpolate(image, (67, 67)).tobytes()
assert served.tobytes() != codecs.decoded(image, "resize:0.7:bilinear+png").tobytes()


def difference(kernel):
    levels = 255 * Resize(SizeRule("resize", (0.7,)), kernel)(from_pixels(image)[None] / 255)
    return (levels - from_pixels(served)).abs().max()


assert register(image, served).kernel in ("nearest", "bilinear", "box", "hamming", "bicubic", "lanczos", "mks2013")
assert difference("plain") <= 1 < 10 < difference("bilinear")
try:
    codecs.check("resize:0.7:nosuch+png")
except ValueError as error:
    print(error)
print(identify(pairs("resize:0.7:plain+jpeg:80")).chain)
"""
ENCODER = """
import io

from collect.codecs.steps.arguments import number
from collect.codecs.encoders import Encoder


class Gif(Encoder):
    forms = "gif:COLOURS"
    format, media_type = "GIF", "image/gif"

    def strength(self, arguments):
        return {"colours": int(number(self.name, "number of colours", arguments, 2, 256, whole=True))}

    def encode(self, image):
        file = io.BytesIO()
        image.quantize(self.options["colours"]).save(file, "GIF")
        return file.getvalue()

    @classmethod
    def variant(cls, file):
        return "gif"

    @classmethod
    def guesses(cls, seen, tables):
        most = max(len(each.image.getcolors(256)) for each in seen)
        yield from (f"gif:{colours}" for colours in range(most, min(most + 4, 257)))
"""
USE_ENCODER = """
import torch
from train.emulator import identify
from train.layers.encoder import RealEncoder
from train.tensors import from_pixels

image = Image.open(files()[0][0])
assert Image.open(io.BytesIO(codecs.encode(image, "gif:12"))).format == "GIF"
assert codecs.media_type("gif:12") == "image/gif"
served = codecs.decoded(image, "gif:12")
assert len(served.getcolors()) <= 12
assert codecs.decoded(image, "gif:12+png").tobytes() == served.tobytes()
images = (from_pixels(image)[None] / 255).requires_grad_()
again = RealEncoder("gif:12")(images)
assert torch.equal((255 * again).round()[0], from_pixels(served).float())
again.sum().backward()
assert torch.equal(images.grad, torch.ones_like(images))
for wrong in ("nosuch:5", "gif:1"):
    try:
        codecs.check(wrong)
    except ValueError as error:
        print(error)
print(identify(pairs("gif:12")).chain)
"""
PAIRS = """
import io
from pathlib import Path

from PIL import Image

from collect import codecs

def files():
    return [(file, Path("renditions", file.name)) for file in sorted(Path("photos").iterdir())]

def pairs(chain):
    Path("renditions").mkdir()
    for original, rendition in files():
        rendition.write_bytes(codecs.encode(Image.open(original), chain))
    return files()
"""
COMMAND = '''
import typer


def greet(name: str) -> None:
    """Say hello to somebody, as friends do."""
    typer.echo(f"Hello {name}.")
'''

Run = Callable[..., str]


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the project's packages."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("collect", "pairing", "train", "attack"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("params.py", "comreadv.py"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def add(source: Path, tmp_path: Path) -> Callable[[str, str], Run]:
    """Add one file to a copy of the project; return what runs Python there, in a folder with some photos."""

    def added(file: str, content: str) -> Run:
        shutil.copytree(source, tmp_path / "source", copy_function=os.link)
        assert not (tmp_path / "source" / file).exists()
        (tmp_path / "source" / file).write_text(content)
        photos = tmp_path / "photos"
        photos.mkdir()
        for index, photo in enumerate((data.astronaut(), data.coffee(), data.cat()) * 2):
            Image.fromarray(photo[index * 9 :][:200, :200]).resize((96, 96)).save(photos / f"{index}.png")
        return run

    def run(code: str, *arguments: str) -> str:
        answer = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": str(tmp_path / "source"), "COLUMNS": "200"},
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout

    return added


COMREADV = "import comreadv; comreadv.main()"


def test_a_platform(add: Callable[[str, str], Run], tmp_path: Path) -> None:
    run = add("collect/platforms/shelf.py", PLATFORM)
    settings = (ROOT / "params.yaml").read_text()
    for before, after in (
        ("\nplatforms: ", "\nplatforms:\n  shelf: {adapter: shelf} "),
        ("name: sample", "name: folder"),
        ("root: null", "root: photos"),
    ):
        assert settings.count(before) == 1
        settings = settings.replace(before, after)
    (tmp_path / "params.yaml").write_text(settings)
    assert "shelf (on)" in run(COMREADV, "params")
    run(COMREADV, "fingerprint", "--platform", "shelf", "--write")
    run(COMREADV, "collect", "--platform", "shelf")
    originals = sorted((tmp_path / "data" / "images").rglob("*.png"))
    served = sorted((tmp_path / "data" / "round_trips" / "shelf").rglob("*.jpg"))
    assert len(originals) == len(served) == 6
    for before, after in zip(originals, served, strict=True):
        file = io.BytesIO()
        Image.open(before).save(file, "JPEG", quality=60)
        assert after.read_bytes() == file.getvalue()


def test_a_resize_kernel(add: Callable[[str, str], Run]) -> None:
    run = add("collect/codecs/kernels/interpolation.py", KERNEL)
    error, found = run(PAIRS + USE_KERNEL).splitlines()
    assert re.search("no kernel or option 'nosuch'; there are .*plain", error)
    assert found == "resize:0.7:plain+jpeg:80:420"


def test_an_encoder(add: Callable[[str, str], Run]) -> None:
    unknown, wrong, found = add("collect/codecs/encoders/gif.py", ENCODER)(PAIRS + USE_ENCODER).splitlines()
    assert re.search("'nosuch' is no encoder; use .*gif:COLOURS", unknown)
    assert "gif: '1' is no number of colours (a whole number, 2 to 256)" in wrong
    assert found == "gif:12"


def test_a_command(add: Callable[[str, str], Run]) -> None:
    run = add("pairing/commands/greet.py", COMMAND)
    assert re.search("greet +Say hello to somebody, as friends do", run(COMREADV, "--help"))
    assert run(COMREADV, "greet", "Ada") == "Hello Ada.\n"
