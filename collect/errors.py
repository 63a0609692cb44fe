"""The collector's exceptions.

UserError                   params.py: a person has to mend something
├── TransientError          a step was cut off: what it read is worth nothing, and what it sent may have arrived
│   ├── PageChanged         the page is not as the adapter expects
│   ├── SubmitFailed        the page did not go on
│   ├── AddressExpired      an address serves nothing any more
│   └── RateLimited         the site wants less of us
└── CaptchaRequired         the site wants to see a person
UploadRejected              the site refuses one image of a batch
NotSignedIn                 the site shows its signed-out face
"""

from __future__ import annotations

from collect import redaction
from params import UserError


class TransientError(UserError):
    """Say that a step was cut off: what it read is worth nothing, and nobody knows what became of what it sent."""

    retry_after_s: float | None = None  # that the site asks for


class PageChanged(TransientError):
    """Say that the page is not as the adapter expects: a passing fault, or a redesign of the site."""


class SubmitFailed(TransientError):
    """Say that the page did not go on to where what was done should have led it; `site_message`: what it says."""

    def __init__(self, message: str, site_message: str = "") -> None:
        self.site_message = redaction.redact_message(site_message)
        super().__init__(f"{message} It says: {self.site_message}" if site_message else message)


class AddressExpired(TransientError):
    """Say that an address serves nothing any more: a new one is wanted."""


class RateLimited(TransientError):
    """Say that the site wants less of us for now: 418, 429, or a block page."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class CaptchaRequired(UserError):
    """Say that the site wants to see a person; the run stops, for nobody here solves that."""


Trouble = TransientError | CaptchaRequired


class UploadRejected(Exception):
    """Say that the site refuses one image of a batch, and why; nothing of the batch was published."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(redaction.redact_message(reason))
        self.position = position


class NotSignedIn(Exception):
    """Say that the site shows its signed-out face."""
