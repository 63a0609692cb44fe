"""Filters by a short name, one file each: what sharpens or blurs an image between a resize and an encoder."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from collect.codecs.steps.pixels import Pixels

__all__ = ["Filter", "all_filters", "filter_step"]


class Filter:
    """A filter and its settings; one subclass in one file each, known in chains by the file's name.

    Raises ValueError, which names the argument after the filter's name that is wrong.
    """

    forms: ClassVar[str]  # as chains write it, for messages
    usual: ClassVar[tuple[str, ...]] = ()  # settings that sites are known to use, for the search
    weights: NDArray[np.float64]  # [odd, odd], of the filter where nothing is clipped: its gradient

    def __init__(self, *arguments: str) -> None:
        raise NotImplementedError

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the filtered pixels, of the same size."""
        raise NotImplementedError


@cache
def all_filters() -> dict[str, type[Filter]]:
    """List the filter of every file in this folder, by the file's name."""
    files = {file.name: import_module(f"{__name__}.{file.name}") for file in iter_modules(__path__)}
    return {
        name: value
        for name, file in files.items()
        for value in vars(file).values()
        if isinstance(value, type) and issubclass(value, Filter) and value.__module__ == file.__name__
    }


def filter_step(name: str, *arguments: str) -> Filter:
    """Make a filter; raises ValueError, which names the part that is wrong."""
    return all_filters()[name](*arguments)
