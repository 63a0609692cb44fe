"""DOC"""

from __future__ import annotations

from collect import redaction as masking
from params import UserError


class Interrupted(UserError):
    """Say that a step was cut off: what it read is worth nothing, and nobody knows what became of what it sent."""

    wait: float | None = None  # seconds that the site asks for


class PageChanged(Interrupted):
    """Say that the page is not as the adapter expects: a passing fault, or a redesign of the site."""


class Stayed(Interrupted):
    """Say that the page did not go on to where what was done should have led it; `said`: what it says instead."""

    def __init__(self, message: str, said: str = "") -> None:
        self.said = masking.words(said)
        super().__init__(f"{message} It says: {self.said}" if said else message)


class TurnedAway(Interrupted):
    """Say that the site wants less of us for now: 418, 429, or a block page."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class Challenged(UserError):
    """Say that the site wants to see a person; the run stops, for nobody here solves that."""


Trouble = Interrupted | Challenged


class Refused(Exception):
    """Say that the site refuses one image of a batch, and why; nothing of the batch was published."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(masking.words(reason))
        self.position = position


class SignedOut(Exception):
    """Say that the site shows its signed-out face."""
