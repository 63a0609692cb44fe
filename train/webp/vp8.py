"""WebP as libwebp writes it (method 4 and its other defaults), and as any decoder reads it.

Every decision of the encoder is made again: colour, segments, each block's prediction and levels, and the loop filter.
The result is libwebp 1.6's to the bit, until its counters of tokens overflow: in noise, after some 300 macroblocks.
Follows RFC 6386 and libwebp; the parts are in train/webp.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from train.webp.analysis import Segments, analyse
from train.webp.coding import Coded, Coder
from train.webp.colour import to_rgb, to_yuv
from train.webp.filter import smooth
from train.webp.grid import Grid
from train.webp.tables import AC_STEPS

SIDE = 16  # of a macroblock
STRONGEST = 63  # level of the loop filter
BATCH = 32  # images at once; more gain no time
DIFFUSED = 98  # the highest quality at which colours' rounding errors move on to the next blocks


def webp(images: Tensor, quality: int) -> Tensor:
    """Encode and decode images as WebP; the gradient is the identity's.

    Args:
        images: float [N, 3, H, W] in [0, 1], whole grey levels over 255; any H and W.
        quality: as Pillow takes it, 0 to 100.

    Returns:
        float, the images' shape, whole grey levels over 255.
    """
    with torch.no_grad(), torch.autocast(images.device.type, enabled=False), _one_thread():
        starts = range(0, len(images), BATCH)
        levels = torch.cat(
            [_recompress((images[start : start + BATCH].float() * 255).round(), quality) for start in starts]
        )
    return images + (levels.to(images) / 255 - images).detach()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute with one thread: the steps are many and small, and threads that wait for each other cost far more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _recompress(levels: Tensor, quality: int) -> Tensor:
    height, width = levels.shape[-2:]
    grid = Grid(-(-height // SIDE), -(-width // SIDE), SIDE)
    small = grid._replace(side=SIDE // 2)
    luma, chroma = to_yuv(levels)
    luma_plane = grid.fill(_whole(luma, grid))
    chroma_plane = torch.cat([small.fill(_whole(part, small)) for part in chroma.unbind(1)])
    segments = analyse(luma_plane, chroma_plane, grid, quality)
    coded = Coder(luma_plane, chroma_plane, grid, segments, diffuse=quality <= DIFFUSED).code()
    level = _filter_levels(segments, coded)
    luma = smooth(grid.image(coded.luma).permute(1, 2, 0)[None], grid, level, coded.inner)[0]
    parts = torch.stack([small.image(part).permute(1, 2, 0) for part in coded.chroma.chunk(2)])
    chroma = smooth(parts, small, level, coded.inner).transpose(0, 1)
    return to_rgb(luma[..., :height, :width], chroma[..., : -(-height // 2), : -(-width // 2)])


def _whole(plane: Tensor, grid: Grid) -> Tensor:
    """Repeat the last row and column up to whole macroblocks."""
    height, width = grid.rows * grid.side, grid.columns * grid.side
    padding = (0, width - plane.shape[-1], 0, height - plane.shape[-2])
    return F.pad(plane[:, None], padding, mode="replicate")[:, 0]


def _filter_levels(segments: Segments, coded: Coded) -> Tensor:
    """Return the loop filter's level of each macroblock, [macroblocks, N]: stronger where flat blocks show."""
    step = (AC_STEPS.to(segments.of.device)[segments.quantisers] * 155 // 100).clamp(min=8)
    needed = (coded.blockiness.long() * step >> 3).clamp(max=STRONGEST)
    return torch.maximum(segments.filters, needed).gather(0, segments.of).float()
