"""Kernels give what the software does that they are named after, run beside them."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from collect import codecs
from collect.codecs.kernels import all_kernels, kernel_matrix
from collect.codecs.pixels import to_levels

PHOTO = Image.fromarray(data.astronaut())
PARTS = [(100, 80, 257, 201), (380, 20, 413, 69), (0, 0, 512, 300)]
SIZES = [(50, 33), (31, 48), (156, 119), (211, 170), (13, 200), (1, 1)]


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def has_gd() -> bool:
    return shutil.which("php") is not None and b"\ngd\n" in subprocess.run(["php", "-m"], capture_output=True).stdout


def furthest(kernel: str, image: Image.Image, real: Image.Image) -> float:
    """Return how far a kernel is from the real program's image, grey levels."""
    ours = to_levels(all_kernels()[kernel].resize(image, real.size))
    return float(np.abs(ours - np.asarray(real.convert("RGB"), np.float64)).max())


@pytest.mark.skipif(not has_gd(), reason="PHP with GD is not installed")
@pytest.mark.parametrize("part", PARTS)
def test_gd_is_phps_imagecopyresampled(part: tuple[int, int, int, int], tmp_path: Path) -> None:
    image = PHOTO.crop(part)
    image.save(tmp_path / "photo.png")
    for width, height in SIZES:
        code = (
            f"$photo = imagecreatefrompng('{tmp_path}/photo.png'); $to = imagecreatetruecolor({width}, {height});"
            f"imagecopyresampled($to, $photo, 0, 0, 0, 0, {width}, {height}, {image.width}, {image.height});"
            "imagepng($to);"
        )
        served = subprocess.run(["php", "-r", code], capture_output=True, check=True).stdout
        assert furthest("gd", image, Image.open(io.BytesIO(served))) == 0


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("side", [20, 60, 111])
def test_libvips_is_vips_thumbnail(part: tuple[int, int, int, int], side: int) -> None:
    vips = pytest.importorskip("pyvips", exc_type=ImportError)
    image = PHOTO.crop(part)
    pixels = vips.Image.new_from_array(np.asarray(image))
    served = Image.fromarray(pixels.thumbnail_image(side, height=side, size="down").numpy())
    assert codecs.before_encoding(image, f"fit:{side}:libvips:half_up+png").tobytes() == served.tobytes()


@pytest.mark.parametrize("served", [1, 7, 25, 60, 61, 62, 140])
def test_the_matrix_of_libvips_is_its_own(served: int) -> None:
    vips = pytest.importorskip("pyvips", exc_type=ImportError)
    line = np.random.default_rng(5).uniform(0, 255, (9, 61)).astype(np.float32)
    line[1:] = line[0]
    resized = vips.Image.new_from_array(line).resize(served / 61, vscale=1.0).numpy()[4]
    assert np.allclose(line[0] @ kernel_matrix(61, served, "libvips").T, resized, atol=1e-3)
