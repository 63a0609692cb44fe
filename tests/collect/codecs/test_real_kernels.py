"""Kernels give what the software does that they are named after, run beside them."""

from __future__ import annotations

import base64
import io
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from skimage import data

from collect import codecs
from collect.browser import launch
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


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """Open a page of a browser that paints without a graphics card."""
    with sync_playwright() as playwright:
        browsers = launch.find_browsers(playwright, whole=False)
        if not browsers:
            pytest.skip("no Chromium is installed")
        with playwright.chromium.launch(executable_path=browsers[0], args=["--disable-gpu"]) as browser:
            yield browser.new_page()


PAINT = """async ([png, width, height, quality, source]) => {
    const image = new Image();
    image.src = "data:image/png;base64," + png;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = quality;
    context.drawImage(source == "bitmap" ? await createImageBitmap(image) : image, 0, 0, width, height);
    return canvas.toDataURL("image/png").split(",")[1];
}"""


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    ("kernel", "quality", "source"),
    [("canvas", "low", "img"), ("canvas", "high", "img")]
    + [(f"canvas_{quality}", quality, "bitmap") for quality in ("low", "medium", "high")],
)
def test_canvas_is_chromiums(
    kernel: str, quality: str, source: str, part: tuple[int, int, int, int], page: Page
) -> None:
    photo = PHOTO.crop(part)
    for turn, (width, height) in enumerate(SIZES):
        # a browser keeps the halved copies of an image, and makes the next from them: each size gets its own image
        image = photo.transpose(Image.Transpose(turn))
        file = io.BytesIO()
        image.save(file, "PNG")
        png = base64.b64encode(file.getvalue()).decode()
        painted = base64.b64decode(page.evaluate(PAINT, [png, width, height, quality, source]))
        assert furthest(kernel, image, Image.open(io.BytesIO(painted))) == 0
