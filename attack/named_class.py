"""Classes that are found by the name of their module, so that a folder is the list of them."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def class_of(folder: str, name: str) -> Any:
    """Return the class that a module is named after: `attack.attacks`, `mim_official` gives MIMOfficial."""
    members = vars(import_module(f"{folder}.{name}"))
    return next(members[each] for each in members if each.lower() == name.replace("_", ""))
