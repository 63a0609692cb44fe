"""JPEG 2000's contexts: what a place's neighbours say of it when its turn comes (ISO/IEC 15444-1, annex D)."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

CONTEXTS = 9  # of whether a place is significant
LOWEST = 1  # the kind of LL: it has LH's contexts
STRIPE = 4  # rows that are scanned together, column by column
ROUNDS = 3  # in which what significance propagation finds lets it visit more places


def propagate(significant: Tensor, large: Tensor, blank: Tensor) -> tuple[Tensor, Tensor]:
    """Tell what significance propagation finds, and the neighbours that each place has when its turn comes."""
    near = neighbours(significant, torch.zeros_like(significant))
    for _ in range(ROUNDS):
        found = blank * large * (near > 0)
        near = neighbours(significant, found)
    return blank * large * (near > 0), near


def neighbours(significant: Tensor, found: Tensor) -> Tensor:
    """Number each place's significant neighbours within its block, as `CONTEXT_OF` has it.

    Those that the pass has found count where the scan meets them before the place: to the left, above, and diagonally
    unless that is in a later stripe, or in a later column of the same.
    """
    before, after = (F.pad(each, (1, 1, 1, 1)) for each in (significant + found, significant))
    row = torch.arange(significant.shape[-2], device=significant.device)[:, None] % STRIPE
    left, right = before[..., 1:-1, :-2], after[..., 1:-1, 2:]
    up, down = before[..., :-2, 1:-1], after[..., 2:, 1:-1]
    down_left = torch.where(row < STRIPE - 1, before[..., 2:, :-2], after[..., 2:, :-2])
    up_right = torch.where(row == 0, before[..., :-2, 2:], after[..., :-2, 2:])
    diagonal = before[..., :-2, :-2] + after[..., 2:, 2:] + down_left + up_right
    return 15 * (left + right) + 5 * (up + down) + diagonal


def _context(across: int, down: int, diagonal: int) -> int:
    """Return the context of a place in LH or LL by its significant neighbours (Table D.1)."""
    if across == 2:
        return 8
    if across == 1:
        return 7 if down else 6 if diagonal else 5
    return 2 + down if down else min(diagonal, 2)


def _diagonal_context(straight: int, diagonal: int) -> int:
    """Return the context of a place in HH (Table D.1)."""
    if diagonal >= 3:
        return 8
    if diagonal == 2:
        return 7 if straight else 6
    return 3 * diagonal + min(straight, 2)


CONTEXT_OF = torch.tensor(
    [
        [_context(down, across, diagonal) for across in range(3) for down in range(3) for diagonal in range(5)],
        [_context(across, down, diagonal) for across in range(3) for down in range(3) for diagonal in range(5)],
        [
            _diagonal_context(across + down, diagonal)
            for across in range(3)
            for down in range(3)
            for diagonal in range(5)
        ],
    ]
)
