"""Renditions are placed to a fraction of a pixel, and their kernels named."""

import io

import numpy as np
import pytest
from distorted import corner_error
from PIL import Image
from scipy import ndimage
from skimage import data

from pairing.alignment.registration import register

CAT = Image.fromarray(data.chelsea())  # 451x300


def served(image: Image.Image, quality: int = 75) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


@pytest.mark.parametrize("quality", [20, 75, 95])
def test_what_was_not_moved_has_exactly_the_whole_box(quality: int) -> None:
    found = register(CAT, served(CAT, quality))
    assert found.box == (0, 0, 451, 300) and found.is_whole(CAT.size)
    assert found.turn is None and found.kernel is None


@pytest.mark.parametrize("kernel", [each for each in Image.Resampling if each != Image.Resampling.NEAREST])
@pytest.mark.parametrize("box", [(0, 0, 451, 300), (3, 1, 449, 296)])
def test_a_resized_rendition_tells_its_crop_and_its_kernel(kernel: Image.Resampling, box: tuple) -> None:
    size = (round(0.55 * (box[2] - box[0])), round(0.55 * (box[3] - box[1])))
    found = register(CAT, served(CAT.resize(size, kernel, box=box)))
    assert corner_error(found.box, box) < 0.05
    assert found.kernel == kernel.name.lower()


@pytest.mark.parametrize("shift", [(0.5, 0.0), (-1.3, 0.7), (1.25, -2.4)])
def test_a_shift_of_a_fraction_of_a_pixel_is_found(shift: tuple[float, float]) -> None:
    x, y = shift
    pixels = ndimage.shift(np.asarray(CAT, np.float32), (-y, -x, 0), order=3, mode="nearest").clip(0, 255)
    found = register(CAT, served(Image.fromarray(pixels.round().astype(np.uint8))))
    assert corner_error(found.box, (x, y, 451 + x, 300 + y)) < 0.1


def test_pixels_cut_off_or_added_without_a_resize_are_counted_exactly() -> None:
    assert register(CAT, served(CAT.crop((2, 1, 450, 300)))).box == (2, 1, 450, 300)
    padded = Image.new("RGB", (451 + 8, 300 + 6), "white")
    padded.paste(CAT, (4, 3))
    assert register(CAT, served(padded)).box == (-4, -3, 455, 303)


@pytest.mark.parametrize("turn", list(Image.Transpose))
def test_every_turn_and_mirror_image_is_set_upright(turn: Image.Transpose) -> None:
    found = register(CAT, served(CAT.transpose(turn)))
    assert found.turn is not None and found.box == (0, 0, 451, 300)
    there_and_back = CAT.transpose(turn).transpose(found.turn)
    assert there_and_back.tobytes() == CAT.tobytes()


def test_a_watermark_does_not_pull() -> None:
    small = CAT.resize((300, 200), Image.Resampling.BICUBIC, box=(1, 2, 451, 298))
    small.paste((255, 255, 255), (200, 150, 290, 190))
    assert register(CAT, served(small)).box == (1, 2, 451, 298)


def test_another_codec_and_no_colour_are_placed_too() -> None:
    file = io.BytesIO()
    CAT.convert("L").resize((300, 200), Image.Resampling.LANCZOS).save(file, "WEBP", quality=40)
    assert register(CAT, Image.open(file)).box == (0, 0, 451, 300)
