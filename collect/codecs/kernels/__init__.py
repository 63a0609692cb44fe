"""How an image is resized: to which size, and by which kernel; a file offers the KERNELS of one library or family."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["Edges", "Kernel", "all_kernels", "kernel_matrix", "resized"]

Edges = tuple[float, float, float, float]  # left, top, right, bottom; pixels


class Kernel(NamedTuple):
    """How an image is resized to a width and height; mode RGB in chains, F where the kernel's matrix is read off it.

    Where `takes_box` is set, `resize` also takes the edges of the part to show, to a fraction of a pixel, and pairing
    tries this kernel.
    """

    resize: Callable[..., Image.Image]
    takes_box: bool = False


@cache
def all_kernels() -> dict[str, Kernel]:
    """List the kernels of every file in this folder, by the name that chains know them by."""
    files = [import_module(f"{__name__}.{file.name}") for file in iter_modules(__path__)]
    return {name: kernel for file in files for name, kernel in file.KERNELS.items()}


def resized(size: tuple[int, int], by: str, number: float) -> tuple[int, int]:
    """Reckon the width and height that `resize`, `fit` or `width` makes of an image's."""
    sides = {"fit": max(size), "width": size[0]}
    scale = min(1.0, number / sides[by]) if by in sides else number
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def kernel_matrix(length: int, served: int, kernel: str) -> NDArray[np.float32]:
    """Return the [served, length] matrix by which a kernel resizes a line of pixels, read off what it does."""
    impulses = Image.fromarray(np.eye(length, dtype=np.float32))
    return np.asarray(all_kernels()[kernel].resize(impulses, (served, length)), np.float32).T
