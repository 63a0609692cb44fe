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
from collect.codecs.filters import filter_step
from collect.codecs.kernels import all_kernels, kernel_matrix
from collect.codecs.steps.pixels import Levels, Pixels, to_image, to_levels

PHOTO = Image.fromarray(data.astronaut())
PARTS = [(100, 80, 257, 201), (380, 20, 413, 69), (0, 0, 512, 300)]
SIZES = [(50, 33), (31, 48), (156, 119), (211, 170), (13, 200), (1, 1)]


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


def imagemagick() -> str | None:
    """Find the ImageMagick that ours follows: 6, with 16 bits a colour."""
    program = shutil.which("convert")
    if program is None:
        return None
    about = subprocess.run([program, "-version"], capture_output=True, text=True).stdout
    return program if "ImageMagick 6" in about and " Q16 " in about and "HDRI" not in about else None


CONVERT = imagemagick()
needs_imagemagick = pytest.mark.skipif(CONVERT is None, reason="ImageMagick 6 with 16 bits is not installed")


def converted(image: Image.Image, size: tuple[int, int], *options: str) -> Levels:
    """Return what ImageMagick makes of an image, grey levels with fractions."""
    file = io.BytesIO()
    image.save(file, "PNG")
    command = [str(CONVERT), "png:-", *options, "-depth", "16", "-endian", "LSB", "rgb:-"]
    raw = subprocess.run(command, input=file.getvalue(), capture_output=True, check=True).stdout
    return np.frombuffer(raw, "<u2").reshape(size[1], size[0], 3) / 257


def check_equal(ours: Pixels, real: Levels) -> None:
    """Let a few pixels differ by 1 of 65535, and none of those that are served."""
    difference = np.abs(to_levels(ours) - real)
    assert difference.max() < 1.01 / 257
    assert (difference > 0.01 / 257).mean() < 0.001
    assert to_image(ours).tobytes() == to_image(real).tobytes()


@needs_imagemagick
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        ("imagemagick", ["-resize"]),
        ("imagemagick_triangle", ["-filter", "Triangle", "-define", "filter:support=2", "-resize"]),
        ("imagemagick_thumbnail", ["-thumbnail"]),
    ],
)
def test_imagemagicks_kernels(kernel: str, options: list[str], part: tuple[int, int, int, int]) -> None:
    image = PHOTO.crop(part)
    for width, height in [*SIZES, (80, 47)]:
        real = converted(image, (width, height), *options, f"{width}x{height}!")
        check_equal(all_kernels()[kernel].resize(image, (width, height)), real)


@needs_imagemagick
@pytest.mark.parametrize("sigma", ["0.4", "1.5"])
def test_what_mediawiki_asks_of_imagemagick(sigma: str) -> None:
    image, size = PHOTO.crop(PARTS[0]), (118, 91)
    real = converted(image, size, "-thumbnail", "118x91!", "-depth", "8", "-sharpen", f"0x{sigma}")
    ours = filter_step("gaussian_sharpen", sigma)(all_kernels()["imagemagick_8bit"].resize(image, size))
    assert np.abs(ours - real).max() < 1e-6


@needs_imagemagick
@pytest.mark.parametrize(
    ("chain", "option"),
    [
        ("unsharp:0.75:0.75:0.008", "0x0.75+0.75+0.008"),
        ("unsharp:0.25:8:0.065", "0.25x0.25+8+0.065"),
        ("unsharp:3:1.5", "0x3+1.5+0"),
        ("unsharp:2:1:0:2", "2x2+1+0"),
        ("gaussian_sharpen:0.4", "0x0.4"),
        ("gaussian_sharpen:2", "0x2"),
    ],
)
def test_imagemagicks_filters(chain: str, option: str) -> None:
    image, size = PHOTO.crop(PARTS[1]), PHOTO.crop(PARTS[1]).size
    name, *arguments = chain.split(":")
    command = "-unsharp" if name == "unsharp" else "-sharpen"
    by = filter_step(name, *arguments)
    assert np.abs(to_levels(by(image)) - converted(image, size, command, option)).max() < 1e-6
    finer = all_kernels()["imagemagick"].resize(image, (384, 225))
    check_equal(by(finer), converted(image, (384, 225), "-resize", "384x225!", command, option))


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="FFmpeg is not installed")
@pytest.mark.parametrize("part", PARTS)
def test_swscale_comes_near_ffmpegs(part: tuple[int, int, int, int]) -> None:
    image = PHOTO.crop(part).convert("L")
    file = io.BytesIO()
    image.save(file, "PNG")
    for width, height in SIZES[:-1]:
        scaler = f"scale={width}:{height}:flags=bicubic+accurate_rnd"
        command = ["ffmpeg", "-loglevel", "error", "-f", "png_pipe", "-i", "-", "-vf", scaler]
        command += ["-pix_fmt", "gray", "-f", "rawvideo", "-"]
        raw = subprocess.run(command, input=file.getvalue(), capture_output=True, check=True).stdout
        ours = to_image(all_kernels()["swscale"].resize(image, (width, height))).convert("L")
        difference = np.abs(np.asarray(ours, int) - np.frombuffer(raw, np.uint8).reshape(height, width))
        assert difference.max() <= 5 and difference.mean() < 0.02
