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

from collect.codecs.steps.arguments import number
from collect.codecs.steps.backends import is_installed
from collect.codecs.steps.pixels import Pixels
from collect.codecs.steps.sizes import LARGEST_SIDE, ROUNDINGS, SIZE_STEPS, SizeRule

__all__ = ["SIZE_STEPS", "Kernel", "SizeRule", "all_kernels", "installed_kernels", "kernel_matrix", "resize_step"]

Edges = tuple[float, float, float, float]  # left, top, right, bottom; pixels


class Kernel(NamedTuple):
    """How an image is resized to a width and height.

    `resize` takes an RGB image (where `matrix` is None one of mode F too) and the size. It returns an image, or an
    array of grey levels where the library keeps more than 8 bits. `matrix` takes the lengths of a line before and
    after, and returns the [after, before] matrix that resizes it; None: it is read off what `resize` does.

    Where `takes_box` is set, `resize` also takes the edges of the part to show, to a fraction of a pixel, and pairing
    tries this kernel. Where `takes_scales` is set, it also takes the factors of width and height before rounding, by
    which a library places its pixels, and `matrix` that of its line; None: as the sizes have it. `is_product` says
    that `resize` is the two matrices' product: across first, rounded, then down, rounded. `package` is what has to be
    installed (`steps/backends.py`).
    """

    resize: Callable[..., Pixels]
    matrix: Callable[..., NDArray[np.float32]] | None = None
    takes_box: bool = False
    takes_scales: bool = False
    is_product: bool = False
    package: str | None = None
    software: str = ""  # in words; "": as the kernel's name says


@cache
def all_kernels() -> dict[str, Kernel]:
    """List the kernels of every file in this folder, by the name that chains know them by."""
    files = [import_module(f"{__name__}.{file.name}") for file in iter_modules(__path__)]
    return {name: kernel for file in files for name, kernel in file.KERNELS.items()}


def installed_kernels(*, only_libraries: bool = False) -> list[str]:
    """List the kernels whose libraries are there; the quickest to compute, Pillow's, first.

    Kernels of our own take seconds where images are large; `only_libraries` leaves them out.
    """
    there = {name: kernel for name, kernel in all_kernels().items() if is_installed(kernel.package)}
    if only_libraries:
        there = {name: kernel for name, kernel in there.items() if kernel.package or kernel.is_product}
    return sorted(there, key=lambda name: not there[name].is_product)


def kernel_matrix(length: int, served: int, kernel: str, scale: float | None = None) -> NDArray[np.float32]:
    """Return the [served, length] matrix by which a kernel resizes a line of pixels; scale is that before rounding."""
    known = all_kernels()[kernel]
    if known.matrix is not None:
        return known.matrix(length, served, *([scale] if known.takes_scales else []))
    impulses = Image.fromarray(np.eye(length, dtype=np.float32))
    return np.asarray(known.resize(impulses, (served, length)), np.float32).T


def resize_step(name: str, *arguments: str) -> tuple[SizeRule, str]:
    """Read a resize step: its rule and its kernel's name; raises ValueError, which names the part that is wrong."""
    if name == "resize":
        numbers: tuple[float, ...] = (number(name, "scale", arguments[:1], 0.01, 8),)
    elif name in ("box", "cover", "size"):
        sides = arguments[0].split("x") if arguments else []
        if len(sides) != 2:
            raise ValueError(f"{name}: {':'.join(arguments[:1])!r} is no width and height, such as 640x480")
        numbers = tuple(number(name, "pixels", (side,), 1, LARGEST_SIDE, whole=True) for side in sides)
    else:
        numbers = (number(name, "pixels", arguments[:1], 1, LARGEST_SIDE, whole=True),)
    kernel, rounding, enlarges = "lanczos", "even", False
    kinds = []
    for argument in arguments[1:]:
        if argument in all_kernels():
            kernel, kind = argument, "kernel"
        elif argument in ROUNDINGS:
            rounding, kind = argument, "rounding"
        elif argument == "enlarge":
            enlarges, kind = True, "enlarge"
        else:
            there_are = ", ".join([*all_kernels(), *ROUNDINGS, "enlarge"])
            raise ValueError(f"{name} has no kernel or option {argument!r}; there are {there_are}")
        kinds.append(kind)
    if len(set(kinds)) < len(kinds):
        raise ValueError(f"{name}: {arguments[-1]!r} is one part too many")
    return SizeRule(name, numbers, rounding, enlarges), kernel
