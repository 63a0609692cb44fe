"""Encoders give what the programs write that they are named after, run beside them."""

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
from collect.codecs.quantisation import read_codec

PHOTOS = [
    Image.fromarray(data.astronaut()).crop((100, 80, 257, 201)),
    Image.fromarray(data.coffee()).crop((31, 100, 192, 244)),
    Image.fromarray(np.random.default_rng(8).integers(0, 256, (19, 34, 3), np.uint8)),
    Image.new("RGB", (1, 3), (250, 3, 90)),
]


def image_magick() -> str | None:
    for name in ("/usr/bin/convert", "magick", "convert"):
        program = shutil.which(name)
        if program and b"ImageMagick" in subprocess.run([program, "-version"], capture_output=True).stdout:
            return program
    return None


def pixels(data: bytes) -> bytes:
    return Image.open(io.BytesIO(data)).convert("RGB").tobytes()


@pytest.fixture(params=range(len(PHOTOS)))
def photo(request: pytest.FixtureRequest) -> Image.Image:
    return PHOTOS[request.param]


@pytest.mark.skipif(image_magick() is None, reason="ImageMagick is not installed")
@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("quality", [30, 90, 91])
def test_ifast_is_image_magicks_transform_up_to_quality_90(
    photo: Image.Image, sampling: str, quality: int, tmp_path: Path
) -> None:
    before, after = tmp_path / "photo.png", tmp_path / "photo.jpg"
    photo.save(before)
    settings = ["-sampling-factor", sampling, "-quality", str(quality)]
    subprocess.run([str(image_magick()), before, *settings, after], check=True)
    chain = f"jpeg:{quality}:{sampling.replace(':', '')}{':ifast' if quality <= 90 else ''}"
    assert pixels(codecs.encode(photo, chain)) == pixels(after.read_bytes())
    tables = read_codec(after)["tables"]
    by_tables = chain.replace(str(quality), "tables")
    assert pixels(codecs.encode(photo, by_tables, tables)) == pixels(after.read_bytes())
