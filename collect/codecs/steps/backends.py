"""Libraries that only some chains need: imported when one asks for them, named with their command where missing."""

from __future__ import annotations

import logging
from importlib import import_module
from importlib.util import find_spec
from typing import Any


class BackendMissing(ValueError):
    """A chain needs a library that is not installed; the message has the command that installs it."""


def backend(module: str) -> Any:
    """Import a library of the extra `stacks`; raises BackendMissing."""
    logging.getLogger(module).setLevel(logging.WARNING)  # pyvips tells each step at INFO
    try:
        return import_module(module)
    except ImportError:  # its own shared libraries can be missing too
        raise BackendMissing(f"{module} is not installed: pip install 'comreadv[stacks]'") from None


def is_installed(package: str | None) -> bool:
    """Tell whether a library is there, without loading it; nothing is needed where None is asked for."""
    return package is None or find_spec(package) is not None
