"""A kernel's matrix is what it does to a line of pixels."""

import numpy as np
import pytest
from PIL import Image

from collect.codecs.kernels import all_kernels, kernel_matrix
from collect.codecs.steps.backends import is_installed
from collect.codecs.steps.pixels import to_levels

LINE = np.random.default_rng(4).uniform(0, 255, (1, 61)).astype(np.float32)
HERE = {name: kernel for name, kernel in all_kernels().items() if is_installed(kernel.package)}


@pytest.mark.parametrize("served", [1, 23, 61, 90])
@pytest.mark.parametrize("kernel", [name for name, each in HERE.items() if each.matrix is None])
def test_a_kernels_matrix_resizes_a_line_as_the_kernel_does(kernel: str, served: int) -> None:
    resized = np.asarray(all_kernels()[kernel].resize(Image.fromarray(LINE), (served, 1)))
    assert np.allclose(LINE @ kernel_matrix(61, served, kernel).T, resized, atol=1e-3)


@pytest.mark.parametrize("served", [1, 5, 23, 61, 90])
@pytest.mark.parametrize("kernel", [name for name, each in HERE.items() if each.matrix is not None])
def test_a_kernels_own_matrix_is_what_it_does_to_the_rounding(kernel: str, served: int) -> None:
    line = LINE.round().astype(np.uint8)
    square = Image.fromarray(line.repeat(61, 0)).convert("RGB")
    resized = to_levels(HERE[kernel].resize(square, (served, served)))[served // 2, :, 0]
    assert np.allclose((line[0] @ kernel_matrix(61, served, kernel).T).clip(0, 255), resized, atol=2)


@pytest.mark.parametrize("kernel", [name for name, each in HERE.items() if each.takes_box])
def test_a_kernel_that_takes_a_box_shows_that_part_alone(kernel: str) -> None:
    image = Image.fromarray(np.kron(LINE, np.ones((8, 1), np.float32)))
    resize = all_kernels()[kernel].resize
    part = resize(image, (15, 4), (20, 0, 50, 8))
    assert np.allclose(part, resize(image.crop((5, 0, 61, 8)), (15, 4), (15, 0, 45, 8)), atol=1e-3)
    assert not np.allclose(part, resize(image, (15, 4), (19.25, 0, 49.25, 8)), atol=1)
