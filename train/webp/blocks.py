"""VP8's arithmetic on blocks of 4 x 4: prediction, transforms and quantisation, many blocks at once.

The 16 pixels or coefficients of a block, row by row, are always a tensor's first axis. All numbers are whole, kept as
floats; a transform is a matrix between roundings. Follows RFC 6386, 12.2, 12.3, 14.3 and 14.4, and libwebp's dsp/enc.c.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

EDGE = "LKJIXABCDEFGH"  # the pixels around a block: up its left side, over the corner and along its top
# each pixel's prediction, row by row: the pixel around it, or the weighted mean of the two or three
DIRECTIONS = (
    "XAB ABC BCD CDE " * 4,
    "XIJ " * 4 + "IJK " * 4 + "JKL " * 4 + "KLL " * 4,
    "IXA XAB ABC BCD JIX IXA XAB ABC KJI JIX IXA XAB LKJ KJI JIX IXA",
    "XA AB BC CD IXA XAB ABC BCD JIX XA AB BC KJI IXA XAB ABC",
    "ABC BCD CDE DEF BCD CDE DEF EFG CDE DEF EFG FGH DEF EFG FGH GHH",
    "AB BC CD DE ABC BCD CDE DEF BC CD DE EFG BCD CDE DEF FGH",
    "IX IXA XAB ABC JI JIX IX IXA KJ KJI JI JIX LK LKJ KJ KJI",
    "IJ IJK JK JKL JK JKL KL KLL KL KLL L L L L L L",
)
WEIGHTS = {1: (1.0,), 2: (0.5, 0.5), 3: (0.25, 0.5, 0.25)}
SPECTRUM = torch.tensor((38, 32, 20, 9, 32, 28, 17, 7, 20, 17, 10, 4, 9, 7, 4, 2)).float()[None]


def _predictors() -> Tensor:
    """Return the matrix [16 · 10, 13] from the pixels around to each mode's prediction, a mode varying fastest."""
    matrix = torch.zeros(10, 16, len(EDGE))
    matrix[0, :, [EDGE.index(letter) for letter in "LKJIABCD"]] = 1 / 8
    for pixel in range(16):
        for letter, sign in (("IJKL"[pixel // 4], 1), ("ABCD"[pixel % 4], 1), ("X", -1)):
            matrix[1, pixel, EDGE.index(letter)] = sign
    for mode, direction in enumerate(DIRECTIONS, 2):
        for pixel, letters in enumerate(direction.split()):
            for letter, weight in zip(letters, WEIGHTS[len(letters)], strict=True):
                matrix[mode, pixel, EDGE.index(letter)] += weight
    return matrix.transpose(0, 1).reshape(160, len(EDGE))


def _rows(matrix: Tensor) -> Tensor:
    return torch.kron(torch.eye(4), matrix)


def _columns(matrix: Tensor) -> Tensor:
    return torch.kron(matrix, torch.eye(4))


PREDICTORS = _predictors()
COSINES = torch.tensor(((0, 0, 0, 0), (5352, 2217, -2217, -5352), (0, 0, 0, 0), (2217, -5352, 5352, -2217))).float()
SUMS = torch.tensor(((1, 1, 1, 1), (0, 0, 0, 0), (1, -1, -1, 1), (0, 0, 0, 0))).float()
FORWARD_ROWS = _rows(COSINES / 512 + SUMS * 8)
FORWARD_COLUMNS = _columns(COSINES / 65536 + SUMS / 16)
ROUND_ROWS = torch.tensor((0, 1812, 0, 937)).repeat(4)[:, None] / 512
ROUND_COLUMNS = torch.tensor((7 / 16, 12000 / 65536, 7 / 16, 51000 / 65536)).repeat_interleave(4)[:, None]
# back: of the second and fourth, two products each are rounded down; then whole sums of the four and of those products
PRODUCTS = torch.tensor(((0, 20091, 0, 0), (0, 35468, 0, 0), (0, 0, 0, 20091), (0, 0, 0, 35468))) / 65536
OF_FOUR = torch.tensor(((1, 1, 1, 0), (1, 0, -1, -1), (1, 0, -1, 1), (1, -1, 1, 0))).float()
OF_PRODUCTS = torch.tensor(((1, 0, 0, 1), (0, 1, -1, 0), (0, -1, 1, 0), (-1, 0, 0, -1))).float()
BACK_COLUMNS = tuple(_columns(matrix) for matrix in (PRODUCTS, OF_FOUR, OF_PRODUCTS))
BACK_ROWS = tuple(_rows(matrix) for matrix in (PRODUCTS, OF_FOUR / 8, OF_PRODUCTS / 8))
WALSH = torch.tensor(((1, 1, 1, 1), (1, 1, -1, -1), (1, -1, -1, 1), (1, -1, 1, -1))).float()
WALSH_BOTH = torch.kron(WALSH, WALSH)


def predict_small(edges: Tensor) -> Tensor:
    """Predict blocks from the 13 pixels around, [13, M], in each of ten modes: [16, 10, M]."""
    rounding = 0.5 * (torch.arange(10, device=edges.device) != 1).float().repeat(16)[:, None]
    return torch.addmm(rounding, PREDICTORS.to(edges.device), edges).floor_().clamp_(0, 255).view(16, 10, -1)


def predict_large(edges: Tensor, has_top: Tensor, has_left: Tensor) -> Tensor:
    """Predict squares from the row above, the column to the left and the corner, [2 · side + 1, M].

    Returns:
        [16, 4, B, M]: the B blocks of a square, row by row, in four modes.
    """
    side = len(edges) // 2
    blocks = side // 4
    top, left, corner = edges[:side], edges[side:-1], edges[-1]
    total = top.sum(0) * has_top + left.sum(0) * has_left
    pixels = side * (has_top.float() + has_left)
    flat = torch.where(pixels > 0, torch.floor(total / pixels + 0.5), 128.0)
    across = top.view(blocks, 4, -1).transpose(0, 1)[None, :, None]  # [1, 4, 1, blocks, M]
    down = left.view(blocks, 4, -1).transpose(0, 1)[:, None, :, None]
    shape = (4, 4, blocks, blocks, edges.shape[1])
    modes = (flat.expand(shape), (across + down - corner).clamp_(0, 255), across.expand(shape), down.expand(shape))
    return torch.stack(modes, dim=2).view(16, 4, blocks * blocks, -1)


def forward(residual: Tensor) -> Tensor:
    """Transform blocks [16, …]."""
    device = residual.device
    rows = torch.addmm(ROUND_ROWS.to(device), FORWARD_ROWS.to(device), residual.reshape(16, -1)).floor_()
    both = torch.addmm(ROUND_COLUMNS.to(device), FORWARD_COLUMNS.to(device), rows).floor_()
    both[4:8] += rows[:4] != rows[12:]
    return both.view(residual.shape)


def inverse(coefficients: Tensor, prediction: Tensor) -> Tensor:
    """Transform blocks [16, …] back and add them to their prediction, within 0 to 255."""
    device = coefficients.device
    columns = _back(coefficients.reshape(16, -1), *(matrix.to(device) for matrix in BACK_COLUMNS))
    both = _back(columns, *(matrix.to(device) for matrix in BACK_ROWS))
    return both.add_(0.5).floor_().view(coefficients.shape).add_(prediction).clamp_(0, 255)


def _back(x: Tensor, products: Tensor, of_four: Tensor, of_products: Tensor) -> Tensor:
    return torch.addmm(of_four @ x, of_products, (products @ x).floor_())


def walsh(means: Tensor) -> Tensor:
    """Transform the 16 means of a macroblock's blocks, [16, …]."""
    both = WALSH_BOTH.to(means.device) @ means.reshape(16, -1)
    return both.div_(2).floor_().view(means.shape)


def unwalsh(coefficients: Tensor) -> Tensor:
    """Transform back to means."""
    both = WALSH_BOTH.to(coefficients.device) @ coefficients.reshape(16, -1)
    return both.add_(3).div_(8).floor_().view(coefficients.shape)


def spectrum(pixels: Tensor) -> Tensor:
    """Sum up the weighted strengths of blocks' frequencies, [16, …] to […]."""
    both = WALSH_BOTH.to(pixels.device) @ pixels.reshape(16, -1)
    return (SPECTRUM.to(pixels.device) @ both.abs_()).view(pixels.shape[1:])


class Quantiser(NamedTuple):
    """What the 16 coefficients of each block are divided by, how, each [16, M]."""

    step: Tensor
    scale: Tensor  # nearly one over the step
    offset: Tensor  # added before rounding down

    def __call__(self, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Return the levels of coefficients [16, …, M] and what they decode to."""
        shape = (len(self.step), *(1,) * (coefficients.dim() - 2), -1)
        step, scale, offset = (each.view(shape) for each in self)
        levels = torch.addcmul(offset, coefficients.abs(), scale).floor_().copysign_(coefficients)
        return levels, levels * step
