"""Where a picture's macroblocks, blocks and their neighbours lie in its planes.

A plane is kept as [(rows + 1) · (columns + 1), N]: N images' pixels with a border above and to the left, which holds
what VP8 predicts from there (RFC 6386, 12.2 and 12.3).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

ABOVE, LEFT = 127.0, 129.0  # the border's levels; the corner is part of the row above


class Grid(NamedTuple):
    """A picture's macroblocks, and the places of their pixels in a plane of `side` pixels each."""

    rows: int
    columns: int
    side: int

    @property
    def stride(self) -> int:
        """How far a pixel is from the one above it."""
        return self.columns * self.side + 1

    @property
    def size(self) -> int:
        """The number of a plane's pixels."""
        return (self.rows * self.side + 1) * self.stride

    def origins(self) -> Tensor:
        """Return the places of the macroblocks' first pixels, [rows · columns]."""
        row, column = torch.meshgrid(torch.arange(self.rows), torch.arange(self.columns), indexing="ij")
        return ((row * self.side + 1) * self.stride + column * self.side + 1).flatten()

    def pixels(self) -> Tensor:
        """Return the places of the pixels [16, blocks of a macroblock, macroblocks]."""
        inside, blocks = torch.arange(4), torch.arange(self.side // 4) * 4
        pixel = (inside[:, None] * self.stride + inside).view(16, 1, 1)
        block = (blocks[:, None] * self.stride + blocks).view(1, -1, 1)
        return pixel + block + self.origins()

    def around(self) -> Tensor:
        """Return the places of the row above, the column to the left and the corner: [2 · side + 1, macroblocks]."""
        along = torch.arange(self.side)
        offsets = torch.cat([along - self.stride, along * self.stride - 1, torch.tensor([-self.stride - 1])])
        return offsets[:, None] + self.origins()

    def around_blocks(self) -> Tensor:
        """Return the places of the 13 pixels around each block, in the order of `EDGE`: [16, 13, macroblocks].

        To the right of the last column of blocks lies what is above the macroblock's right neighbour; past the picture,
        its last pixel is repeated.
        """
        y, x = torch.meshgrid(torch.arange(4) * 4, torch.arange(4) * 4, indexing="ij")
        y, x = y.flatten()[:, None], x.flatten()[:, None]
        left = (y + torch.arange(3, -2, -1)) * self.stride + x - 1
        top = (y - 1) * self.stride + x + torch.arange(4)
        right = torch.where(x < 12, y - 1, -1) * self.stride + x + torch.arange(4, 8)
        places = torch.cat([left, top, right], dim=1)[..., None] + self.origins()
        beyond = self.origins()[self.columns - 1 :: self.columns] - self.stride + 15
        places[3::4, 9:, self.columns - 1 :: self.columns] = beyond
        return places

    def plane(self, images: int, device: torch.device) -> Tensor:
        """Return an empty plane with its border."""
        plane = torch.zeros(self.rows * self.side + 1, self.stride, images, device=device)
        plane[:, 0], plane[0] = LEFT, ABOVE
        return plane.view(-1, images)

    def fill(self, pixels: Tensor) -> Tensor:
        """Return a plane that holds pixels [N, rows · side, columns · side]."""
        plane = self.plane(len(pixels), pixels.device)
        plane.view(-1, self.stride, len(pixels))[1:, 1:] = pixels.permute(1, 2, 0)
        return plane

    def image(self, plane: Tensor) -> Tensor:
        """Return a plane's pixels, [N, rows · side, columns · side]."""
        return plane.view(-1, self.stride, plane.shape[1])[1:, 1:].permute(2, 0, 1)

    def has_neighbours(self) -> tuple[Tensor, Tensor]:
        """Tell which macroblocks have one above and one to the left: two [macroblocks]."""
        number = torch.arange(self.rows * self.columns)
        return number >= self.columns, number % self.columns > 0


class Layout(NamedTuple):
    """Where a picture's parts lie, by the number of the macroblock: the last axis."""

    has_top: Tensor  # bool
    has_left: Tensor
    above: Tensor  # the number of the macroblock above; that of macroblocks where there is none
    before: Tensor
    pixels: Tensor  # see `Grid`
    around: Tensor
    around_blocks: Tensor
    chroma_pixels: Tensor  # [16, 4 blocks, 2 planes, macroblocks]: one plane after the other
    chroma_around: Tensor  # [17, 2, macroblocks]


def lay_out(grid: Grid, device: torch.device) -> Layout:
    """Look up where everything lies, for the luma plane's grid."""
    small = grid._replace(side=grid.side // 2)
    planes = torch.tensor([[0], [small.size]])
    has_top, has_left = grid.has_neighbours()
    size = grid.rows * grid.columns
    number = torch.arange(size)
    layout = (
        has_top,
        has_left,
        torch.where(has_top, number - grid.columns, size),
        torch.where(has_left, number - 1, size),
        grid.pixels(),
        grid.around(),
        grid.around_blocks(),
        small.pixels()[:, :, None] + planes,
        small.around()[:, None] + planes,
    )
    return Layout(*(each.to(device) for each in layout))


def waves(grid: Grid, start: int, end: int) -> Iterator[Tensor]:
    """List which of the macroblocks from one number to another can be coded at once, in order.

    Each needs the one to its left and those above, up to the one to the right.
    """
    number = torch.arange(start, end)
    turn = number % grid.columns + 2 * (number // grid.columns)
    for each in sorted(set(turn.tolist())):
        yield number[turn == each]
