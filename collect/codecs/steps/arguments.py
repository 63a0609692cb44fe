"""The arguments of a chain's parts, read and bounded."""

from __future__ import annotations

import re


def number(name: str, what: str, arguments: tuple[str, ...], low: float, high: float, whole: bool = False) -> float:
    """Read the first argument as a number between two bounds; raises ValueError."""
    pattern = r"[0-9]{1,9}" if whole else r"[0-9]{1,9}(\.[0-9]{1,9})?"
    if not arguments or not re.fullmatch(pattern, arguments[0]) or not low <= float(arguments[0]) <= high:
        given = f"{arguments[0]!r} is no {what}" if arguments else f"the {what} is missing"
        raise ValueError(f"{name}: {given} ({'a whole number' if whole else 'a number'}, {low} to {high})")
    return float(arguments[0])


def none_left(name: str, arguments: tuple[str, ...]) -> None:
    """Raise ValueError where an argument is left that nothing took."""
    if arguments:
        raise ValueError(f"{name}: {arguments[0]!r} is one part too many")
