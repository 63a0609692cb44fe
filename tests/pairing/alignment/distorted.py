"""Renditions with known distortions, for pairing to be measured on."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

KERNELS = [kernel for kernel in Image.Resampling if kernel != Image.Resampling.NEAREST]
MOST_CROPPED = 4  # pixels on each side


@dataclass(frozen=True)
class Distorted:
    """A rendition as a platform would serve it, and what was done to it."""

    file: bytes  # JPEG
    box: tuple[float, float, float, float]  # the part of the original that it shows, in its pixels
    kernel: str | None
    stamped: NDArray[np.bool_] | None  # [H, W] of the rendition: the watermark changed it more than the codec


def distort(photo: Image.Image, random: np.random.Generator) -> Distorted:
    """Crop, resize, stamp and encode a photo, each as it comes up."""
    photo = photo.convert("RGB")
    width, height = photo.size
    scale = float(random.uniform(0.4, 1.0)) if random.random() < 0.8 else 1.0
    kernel = KERNELS[int(random.integers(len(KERNELS)))]
    left, top, right, bottom = random.integers(0, MOST_CROPPED + 1, 4).tolist() if random.random() < 0.7 else [0] * 4
    if random.random() < 0.5:  # cropped, then resized
        box = (left, top, width - right, height - bottom)
        size = (round((box[2] - box[0]) * scale), round((box[3] - box[1]) * scale))
        image = photo.resize(size, kernel, box=box)
    else:  # resized, then cropped by pixels of the result, no more than so many of the original
        whole = (round(width * scale), round(height * scale))
        steps = (width / whole[0], height / whole[1])
        left, right = (int(edge / steps[0]) for edge in (left, right))
        top, bottom = (int(edge / steps[1]) for edge in (top, bottom))
        image = photo.resize(whole, kernel).crop((left, top, whole[0] - right, whole[1] - bottom))
        box = (
            left * steps[0],
            top * steps[1],
            width - right * steps[0],
            height - bottom * steps[1],
        )
    is_resized = max(abs(box[axis + 2] - box[axis] - image.size[axis]) for axis in (0, 1)) > 1e-6
    name = kernel.name.lower() if is_resized else None
    quality = int(random.choice([30, 50, 60, 75, 85, 92]))
    clean = jpeg(image, quality)
    if random.random() >= 0.5:
        return Distorted(clean, box, name, None)
    marked = stamp(image, random)
    with Image.open(io.BytesIO(clean)) as served:
        noise = np.asarray(served, np.float32) - np.asarray(image, np.float32)
    change = np.abs(np.asarray(marked, np.float32) - np.asarray(image, np.float32)).max(axis=2)
    return Distorted(jpeg(marked, quality), box, name, change > np.sqrt(np.square(noise).mean()))


def jpeg(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def stamp(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Write a user's name in a corner or the middle, as platforms do: white, with a shadow, more or less opaque."""
    layer = Image.new("RGBA", image.size, (255, 255, 255, 0))
    draw = ImageDraw.Draw(layer)
    text = ["@someone", "weibo.com/u/123456", "douban", "© A. Person 2024"][int(random.integers(4))]
    font = ImageFont.load_default(size=max(12, round(image.height * float(random.uniform(0.04, 0.08)))))
    x0, y0, x1, y1 = draw.textbbox((0, 0), text, font=font)
    places = [(0.97, 0.97), (0.03, 0.97), (0.5, 0.5), (0.97, 0.03)]
    across, down = places[int(random.integers(len(places)))]
    x, y = across * (image.width - (x1 - x0)) - x0, down * (image.height - (y1 - y0)) - y0
    alpha = int(random.integers(110, 256))
    draw.text((x + 1, y + 1), text, font=font, fill=(0, 0, 0, alpha))
    draw.text((x, y), text, font=font, fill=(255, 255, 255, alpha))
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def corner_error(found: tuple[float, ...], true: tuple[float, ...]) -> float:
    """Return how far the worst of a rendition's corners is placed from where it belongs, in the original's pixels."""
    return max(math.hypot(found[x] - true[x], found[y] - true[y]) for x in (0, 2) for y in (1, 3))


def on_original(stamped: NDArray[np.bool_], box: tuple[float, ...], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Mark the original's pixels whose middle lies under a marked pixel of the rendition."""
    indices, inside = [], []
    for axis in (1, 0):
        place = np.arange(size[axis]) + 0.5
        index = np.floor((place - box[axis]) * stamped.shape[1 - axis] / (box[axis + 2] - box[axis])).astype(int)
        inside.append((index >= 0) & (index < stamped.shape[1 - axis]))
        indices.append(index.clip(0, stamped.shape[1 - axis] - 1))
    return stamped[np.ix_(*indices)] & np.outer(*inside)
