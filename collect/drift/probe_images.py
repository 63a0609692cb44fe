"""Some images that together reveal what a platform does to uploads."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageDraw, ImageFont, ImageOps
from PIL.PngImagePlugin import PngInfo

SIDE = 224  # pixels, of most
ODD = (201, 133)
LARGE = (2240, 1120)  # beyond the size limits that are known; a limit above it is not seen
JPEG_UPLOADS = {"photo-jpeg": "4:4:4", "photo-jpeg-420": "4:2:0"}  # probes that go up as JPEG, and their sampling
JPEG_QUALITY = 95
SENTENCE = "The quick brown fox jumps over the lazy dog 0123456789. 有什么新鲜事想分享给大家？"

Pixels = NDArray[np.float64]


def make_probes(folder: Path) -> dict[str, Path]:
    """Write the probes, PNG files but for JPEG_UPLOADS; return them by name.

    Their pixels are the same each time, their bytes never are: a nonce stands in a comment, so that no answer to an
    earlier probe passes for this one's.
    """
    files = {}
    for name in PROBES:
        image, comment = _drawn(name), f"comreadv probe {secrets.token_hex(8)}"
        if sampling := JPEG_UPLOADS.get(name):
            files[name] = folder / f"{name}.jpg"
            image.save(files[name], quality=JPEG_QUALITY, subsampling=sampling, comment=comment)
            continue
        about = PngInfo()
        about.add_text("Comment", comment)
        files[name] = folder / f"{name}.png"
        metadata = {key: image.info.get(key) for key in ("icc_profile", "exif") if key in image.info}
        image.save(files[name], pnginfo=about, compress_level=1, **metadata)
    return files


@cache
def _drawn(name: str) -> Image.Image:
    return PROBES[name]()


def _grid(width: int = SIDE, height: int = SIDE) -> tuple[Pixels, Pixels]:
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    return rows, columns


def _image(pixels: Pixels) -> Image.Image:
    """Turn grey levels, [H, W] or [H, W, 3], into an RGB image."""
    colours = pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=2)
    return Image.fromarray(np.rint(colours).clip(0, 255).astype(np.uint8))


def _steps() -> Image.Image:
    """Flat fields, which tell of the coarsest coefficients."""
    rows, columns = _grid()
    return _image(16 + 3.5 * (8 * (rows // 28) + columns // 28))


def _zone_plate(width: int = SIDE, height: int = SIDE) -> Image.Image:
    """Rings of every frequency up to the finest."""
    rows, columns = _grid(width, height)
    squared = (columns - width / 2) ** 2 + (rows - height / 2) ** 2
    return _image(128 + 100 * np.cos(np.pi * squared / np.hypot(width, height)))


def _chroma_edges() -> Image.Image:
    """Stripes of one lightness and changing colour, which tell of chroma sampling."""
    rows, columns = _grid()
    width = 1 + rows // 32
    odd = (columns // width) % 2 == 1
    return _image(np.where(odd[..., None], np.array([200.0, 80.0, 90.0]), np.array([40.0, 148.0, 90.0])))


def _noise(strength: float, seed: int) -> Image.Image:
    """A soft ground with noise, at which qualities that look at content differ."""
    random = np.random.default_rng(seed)
    ground = Image.fromarray(random.integers(60, 196, (4, 4, 3), dtype=np.uint8))
    soft = np.asarray(ground.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.float64)
    return _image(soft + random.normal(0, strength, (SIDE, SIDE, 3)))


def _text() -> Image.Image:
    image = Image.new("RGB", (SIDE, SIDE), "white")
    draw = ImageDraw.Draw(image)
    for line, size in enumerate((9, 11, 13, 16, 20, 26)):
        draw.text((4, 6 + 34 * line), SENTENCE, "black", ImageFont.load_default(size))
    draw.rectangle((112, 150, 223, 223), "black")
    return image


def _photo(width: int = SIDE, height: int = SIDE, seed: int = 7) -> Image.Image:
    """Layers of ever finer detail, as strong as in photos: amplitude falls as one over the frequency."""
    random = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), 118.0)
    cells = 3
    while cells < min(width, height) // 2:
        layer = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        pixels += (np.asarray(layer.resize((width, height), Image.Resampling.BICUBIC)) - 127.5) * 0.9 / cells**0.5
        cells *= 2
    return _image(pixels)


def _saturated() -> Image.Image:
    rows, columns = _grid()
    hue, near = columns / SIDE * 360, 255 * (0.55 + 0.45 * (rows // 56) / 3)
    image = Image.merge("HSV", [Image.fromarray(each.astype(np.uint8)) for each in (hue / 360 * 255, near, near)])
    return image.convert("RGB")


def _gradient() -> Image.Image:
    """A slow slope, which shows banding and what is added to it."""
    rows, columns = _grid()
    return _image(220 - 60 * rows / SIDE - 90 * columns / SIDE)


def _marked() -> Image.Image:
    """A photo with a colour profile and metadata of its own."""
    image = _photo(seed=11)
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Software] = "comreadv", "probe"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.info = {"icc_profile": profile, "exif": exif}
    return image


def _large() -> Image.Image:
    """Rings over a photo, larger than sites keep: what is left of the rings tells the kernel."""
    rings = np.asarray(_zone_plate(*LARGE), dtype=np.float64)
    return _image(0.5 * rings + 0.5 * np.asarray(_photo(*LARGE, seed=13), dtype=np.float64))


PROBES: dict[str, Callable[[], Image.Image]] = {
    "steps": _steps,
    "gradient": _gradient,
    "zone-plate": _zone_plate,
    "chroma-edges": _chroma_edges,
    "noise-4": lambda: _noise(4, 1),
    "noise-12": lambda: _noise(12, 2),
    "noise-36": lambda: _noise(36, 3),
    "text": _text,
    "photo": _photo,
    "photo-jpeg": lambda: ImageOps.mirror(_photo()),  # else it could be taken for the PNG file
    "photo-jpeg-420": lambda: ImageOps.flip(_photo()),
    "marked": _marked,
    "saturated": _saturated,
    "odd": lambda: _photo(*ODD, seed=5),
    "large": _large,
}
