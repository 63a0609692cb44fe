"""The simulation of WebP is Pillow's encoder and decoder, bit for bit, with the identity's gradient."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from skimage import data
from torch import Tensor

from collect.codecs.headers import webp as bitstream
from train.webp.analysis import analyse
from train.webp.blocks import forward, inverse
from train.webp.colour import to_yuv
from train.webp.grid import Grid
from train.webp.rates import EVENTS, MODE_COSTS, learn
from train.webp.tables import PROBABILITIES
from train.webp.vp8 import webp

PHOTO = data.astronaut()
QUALITIES = (0, 10, 25, 50, 75, 90, 98, 99, 100)


def photo(height: int, width: int, top: int = 40, left: int = 180) -> np.ndarray:
    return PHOTO[top : top + height, left : left + width]


def tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255


def file(pixels: np.ndarray, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=quality, method=4)
    return buffer.getvalue()


def pillow(pixels: np.ndarray, quality: int) -> Tensor:
    with Image.open(io.BytesIO(file(pixels, quality))) as decoded:
        return tensor(np.asarray(decoded.convert("RGB")))


def differing(pixels: np.ndarray, quality: int) -> int:
    """Count the values that Pillow makes otherwise."""
    levels = (255 * webp(tensor(pixels), quality)).round()
    return int((levels != (255 * pillow(pixels, quality)).round()).sum())


@pytest.mark.parametrize("quality", QUALITIES)
def test_it_is_pillow_at_any_quality(quality: int) -> None:
    assert differing(photo(112, 96), quality) == 0


@pytest.mark.parametrize("size", [(1, 1), (2, 90), (33, 16), (16, 33), (101, 77), (187, 141)])
def test_it_is_pillow_at_any_size(size: tuple[int, int]) -> None:
    assert differing(photo(*size), 60) == 0


@pytest.mark.parametrize("quality", [30, 97, 100])
def test_it_follows_the_probabilities_that_change_as_libwebp_goes(quality: int) -> None:
    assert differing(data.coffee()[:240, :320], quality) == 0  # 300 macroblocks: they change three times


def test_filtering_is_stronger_where_flat_blocks_show() -> None:
    steps = np.linspace(0, 255, 96).astype(np.uint8)
    assert differing(np.stack([np.tile(steps, (80, 1))] * 3, axis=-1), 10) == 0


def test_a_patch_alone_is_no_segment() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (368, 368, 3), dtype=np.uint8)
    pixels[96:112, 192:208] = photo(16, 16)
    assert differing(pixels, 98) == 0


@given(
    pixels=arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))),
    quality=st.integers(0, 100),
)
@settings(max_examples=15, deadline=None)
def test_it_is_pillow_on_anything(pixels: np.ndarray, quality: int) -> None:
    assert differing(pixels, quality) == 0


def test_images_of_a_batch_do_not_mix() -> None:
    images = torch.cat([tensor(photo(64, 80)), tensor(photo(64, 80, top=300, left=20))])
    assert torch.equal(webp(images, 50), torch.cat([webp(image[None], 50) for image in images]))


@pytest.mark.parametrize("quality", [20, 50, 80])
def test_segments_are_the_files(quality: int) -> None:
    pixels = photo(224, 224)
    grid = Grid(14, 14, 16)
    luma, chroma = to_yuv(tensor(pixels) * 255)
    small = grid._replace(side=8)
    segments = analyse(grid.fill(luma), torch.cat([small.fill(part) for part in chroma.unbind(1)]), grid, quality)
    assert tuple(segments.quantisers[:, 0].tolist()) == bitstream.webp(file(pixels, quality)).segments


def test_the_gradient_is_the_identitys() -> None:
    image = tensor(photo(20, 30)).requires_grad_()
    weights = torch.rand_like(image)
    (webp(image, 50) * weights).sum().backward()
    assert image.grad is not None and torch.equal(image.grad, weights)


def test_mixed_precision_and_threads_stay_outside() -> None:
    image = tensor(photo(48, 48))
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = webp(image, 50)
        assert torch.equal(mixed, webp(image, 50))
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_the_transform_goes_back() -> None:
    residual = torch.randint(-100, 100, (16, 500), generator=torch.Generator().manual_seed(0)).float()
    back = inverse(forward(residual), torch.full_like(residual, 128))
    assert (back - 128 - residual).abs().max() <= 2


def test_modes_that_agree_with_their_neighbours_are_cheap() -> None:
    same = MODE_COSTS.view(10, 10, 10)[range(10), range(10), range(10)]
    assert (same < MODE_COSTS.view(10, 10, 10).mean((0, 1))).all()


def test_without_events_probabilities_stay() -> None:
    nothing = torch.zeros(2 * PROBABILITIES[..., 0].numel() * EVENTS, dtype=torch.int64)
    assert torch.equal(learn(nothing), PROBABILITIES.expand(2, -1, -1, -1, -1))
