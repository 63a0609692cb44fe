"""The images that a run sets aside, so that they hold up no others: the site refuses them, or they fail alone."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from collect.errors import SubmitFailed, TransientError
from collect.ledger.ledger import Ledger
from collect.platform import Platform
from collect.round_trip.retry_policy import MAX_TRIES

MAX_REFUSALS = 12  # in a row; after the first MAX_TRIES of them one image is sent alone, whichever

logger = logging.getLogger(__name__)


class Quarantine:
    """Images by sha256, each with what was said of it; one is to blame when others have gone up since.

    `uploaded`, of each method, is how many images the run has sent up so far.
    """

    def __init__(self, platform: Platform, ledger: Ledger) -> None:
        self.platform = platform
        self.ledger = ledger
        self.failures: Counter[str] = Counter()  # of an image alone in its batch
        self._images: dict[str, TransientError] = {}
        self._up_before: dict[str, int] = {}  # how many were up when an image first failed
        self._refused: list[str] = []  # since one has gone up

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._images

    @property
    def verdict(self) -> TransientError | None:
        """Return why no more is to be sent, where the site refuses whatever it is sent."""
        if len(self._refused) < MAX_REFUSALS:
            return None
        last = self._images[self._refused[-1]].message.removesuffix(".")
        return TransientError(
            f"{last}. It refuses one after the other, and nothing more is sent. If the images are to blame, take them"
            " out; else run again later."
        )

    def choose_next(self, images: list[str]) -> list[str]:
        """Choose what to send next: all, or any one of them alone, to see whether it is the site or the first few."""
        if len(self._refused) < MAX_TRIES or not images:
            return images
        return [random.Random(len(images)).choice(images)]

    def note_refusal(self, sha256: str, said: str, uploaded: int) -> None:
        """Set an image aside that the site refuses."""
        self._up_before[sha256] = uploaded
        self._images[sha256] = SubmitFailed(f"{self.platform.name} refuses the image.", said)
        self._refused.append(sha256)

    def note_failure(self, sha256: str, trouble: TransientError, uploaded: int) -> bool:
        """Count a failure of an image alone in its batch; tell whether it is set aside now, and to blame."""
        self._up_before.setdefault(sha256, uploaded)
        self.failures[sha256] += 1
        to_blame = uploaded > self._up_before[sha256]
        if self.failures[sha256] < MAX_TRIES or not (
            to_blame or isinstance(trouble, SubmitFailed)
        ):  # others speak of the line
            return False
        self._images[sha256] = trouble
        return to_blame

    def note_success(self, uploaded: int) -> None:
        """Reject the images that are to blame, now that others have gone up."""
        self._refused.clear()
        self._reject_those_to_blame(uploaded)

    def finish(self, files: Mapping[str, Path], uploaded: int) -> list[TransientError]:
        """Reject the last few that the site refuses; say which are left for the next run, and return why."""
        self._reject_those_to_blame(uploaded)
        for sha256 in () if self.verdict else self._refused:
            self._reject(sha256)
        planned = set(self.ledger.planned())  # what the site shows after all is not among them
        left = {sha256: trouble for sha256, trouble in self._images.items() if sha256 in planned}
        for sha256, trouble in left.items():
            logger.warning("%s is left for the next run. %s", files[sha256], trouble.message)
        return list(left.values())

    def _reject_those_to_blame(self, uploaded: int) -> None:
        for sha256 in [each for each in self._images if uploaded > self._up_before[each]]:
            self._reject(sha256)

    def _reject(self, sha256: str) -> None:
        """Reject an image, if the site has said something against it."""
        trouble = self._images[sha256]
        said = trouble.site_message if isinstance(trouble, SubmitFailed) else ""
        if said and (uploads := self.ledger.claim_uploads([sha256])):
            self.ledger.record_outcome(uploads, {}, refused={0: said})
