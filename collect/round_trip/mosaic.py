"""Mosaics: many tiles stitched into one upload, and cut out of the file that the platform serves.

Every tile begins on a multiple of 16 pixels, JPEG's largest usual block, and lies in a border of its own that repeats
its edge, as an encoder pads an image. So what a codec does block by block, it does as to an upload of the tile alone.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from collect.codecs.lossless_crop import NotCroppable, crop
from collect.images import Box, Unusable, decoding
from collect.round_trip.original import Original
from params import UserError

BLOCK = 16  # pixels; both sides of a 4:2:0 JPEG's block, and of a WebP's
BORDER = 16  # pixels around each tile, so 32 between two


class MosaicResized(Exception):
    """A served mosaic that no tile can be cut from; its text is the reason, for a person."""


@dataclass(frozen=True)
class Tile:
    """An image within a mosaic, and where it lies: left, top, width, height in pixels, without its border."""

    original: Original
    box: Box


@dataclass(frozen=True)
class Mosaic:
    """Tiles that go up as one image."""

    tiles: tuple[Tile, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Its width and height, multiples of 16."""
        return extent(tile.box for tile in self.tiles)

    def png(self) -> bytes:
        """Read the tiles and write the mosaic: RGB, no metadata; the same tiles give the same bytes."""
        pixels = np.zeros((*self.size[::-1], 3), np.uint8)
        for tile in self.tiles:
            left, top, width, height = tile.box
            with Image.open(tile.original.path) as image:
                inner = np.asarray(image.convert("RGB"))
            around = [(BORDER, BORDER + -height % BLOCK), (BORDER, BORDER + -width % BLOCK), (0, 0)]
            cell = np.pad(inner, around, mode="edge")
            y, x = top - BORDER, left - BORDER
            pixels[y : y + cell.shape[0], x : x + cell.shape[1]] = cell
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        return file.getvalue()


def pack_mosaics(originals: Sequence[Original], longest_side: int) -> tuple[list[Mosaic], list[Original]]:
    """Share images out to mosaics whose sides are at most `longest_side` pixels; raises UserError for no image.

    Tall images come first, and else the order is kept. Each mosaic is about as high as wide, and no larger than its
    tiles need. Second comes the rest: images that with their border are too large, to be uploaded alone.
    """
    tallest_first = sorted(((original, _size(original)) for original in originals), key=lambda each: -each[1][1])
    mosaics, rest = [], [original for original, size in tallest_first if _cell(max(size)) > longest_side]
    left = [each for each in tallest_first if _cell(max(each[1])) <= longest_side]
    while left:
        taken = len(_places([size for _, size in left], longest_side, longest_side))
        mosaics.append(_squarest(left[:taken], longest_side))
        left = left[taken:]
    return mosaics, rest


def extent(boxes: Iterable[Box]) -> tuple[int, int]:
    """Return the width and height of a mosaic whose tiles lie in these boxes."""
    sides = [(left + _cell(width) - BORDER, top + _cell(height) - BORDER) for left, top, width, height in boxes]
    return max(right for right, _ in sides), max(bottom for _, bottom in sides)


def check_served(served: Path, size: tuple[int, int]) -> None:
    """See that tiles can be cut out of a served mosaic, as `cut_mosaic` does; raises MosaicResized."""
    with _opened(served, size):
        pass


def cut_mosaic(served: Path, size: tuple[int, int], boxes: Sequence[Box], destinations: Sequence[Path]) -> bool:
    """Cut tiles out of a mosaic that was uploaded at `size` (width, height) and write one file a box.

    A JPEG's tiles are JPEGs of the same coefficients, tables, sampling, kind of scan and metadata: True. Where the
    format knows no such crop, the decoded tiles are written as PNG: False. Raises MosaicResized, with nothing written,
    when the served file can't be decoded or has another size.
    """
    with _opened(served, size) as image:
        try:
            tiles, lossless = crop(served, image, boxes), True
        except NotCroppable:
            tiles, lossless = list(_decoded(image, boxes)), False
    for tile, destination in zip(tiles, destinations, strict=True):
        destination.write_bytes(tile)
    return lossless


@contextmanager
def _opened(served: Path, size: tuple[int, int]) -> Iterator[Image.Image]:
    try:
        with decoding(), Image.open(served) as image:
            if image.size != size:
                raise MosaicResized(
                    f"the mosaic went up at {size[0]}x{size[1]} pixels and is served at {image.width}x{image.height}"
                )
            image.load()
            yield image
    except Unusable as error:
        raise MosaicResized(f"the served mosaic can't be decoded: {error}") from error


def _decoded(image: Image.Image, boxes: Iterable[Box]) -> Iterable[bytes]:
    profile = image.info.get("icc_profile")
    rgb = image.convert("RGB")
    for left, top, width, height in boxes:
        file = io.BytesIO()
        tile = rgb.crop((left, top, left + width, top + height))
        tile.info = {}
        tile.save(file, "PNG", icc_profile=profile)
        yield file.getvalue()


def _size(original: Original) -> tuple[int, int]:
    try:
        with decoding(), Image.open(original.path) as image:
            return image.size
    except Unusable as error:
        raise UserError(f"{original.path} is no image that can be read: {error}. Run `comreadv prepare`.") from None


def _cell(side: int) -> int:
    """Return how many pixels a tile's side takes up: whole blocks, and the border on both ends."""
    return side + -side % BLOCK + 2 * BORDER


def _squarest(tiles: Sequence[tuple[Original, tuple[int, int]]], longest_side: int) -> Mosaic:
    """Lay tiles that fit into the largest mosaic out in the narrowest that is no higher than wide."""
    sizes = [size for _, size in tiles]
    for side in range(max(_cell(width) for width, _ in sizes), longest_side + 1, BLOCK):
        places = _places(sizes, side, side)
        if len(places) == len(sizes):
            break
    boxes = [(x, y, *size) for (x, y), size in zip(places, sizes, strict=True)]
    return Mosaic(tuple(Tile(original, box) for (original, _), box in zip(tiles, boxes, strict=True)))


def _places(sizes: Sequence[tuple[int, int]], width: int, height: int) -> list[tuple[int, int]]:
    """Put tiles (tallest first) on shelves, from left to right and down, until one doesn't fit; return left and top."""
    places: list[tuple[int, int]] = []
    x, shelf, below = 0, 0, 0
    for tile_width, tile_height in sizes:
        if x + _cell(tile_width) > width:
            x, shelf = 0, below
        if x + _cell(tile_width) > width or shelf + _cell(tile_height) > height:
            break
        places.append((x + BORDER, shelf + BORDER))
        x, below = x + _cell(tile_width), max(below, shelf + _cell(tile_height))
    return places
