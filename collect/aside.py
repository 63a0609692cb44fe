"""The images that a run sets aside, so that they hold up no others: the site refuses them, or they fail alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.text import Text

from collect.fetch import TRIES
from collect.ledger import HERE, Ledger
from collect.platform import Interrupted, Platform, Stayed


class Aside:
    """Images by sha256, each with what was said of it; one is to blame when others have gone up since.

    `uploaded`, of each method, is how many images the run has sent up so far.
    """

    def __init__(self, platform: Platform, ledger: Ledger) -> None:
        self.platform = platform
        self.ledger = ledger
        self.failures: Counter[str] = Counter()  # of an image alone in its batch
        self._images: dict[str, Interrupted] = {}
        self._up_before: dict[str, int] = {}  # how many were up when an image first failed
        self._refused: dict[str, str] = {}  # since one has gone up, by the site's words

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._images

    def note_refusal(self, sha256: str, said: str, uploaded: int) -> None:
        """Set an image aside that the site refuses; raise Interrupted where it refuses one after the other."""
        self._up_before[sha256] = uploaded
        self._images[sha256] = Stayed(f"{self.platform.name} refuses the image.", said)
        self._refused[sha256] = said
        if len(self._refused) > TRIES:
            raise Interrupted(f"{self.platform.name} refuses one image after the other. It says: {said}")

    def note_failure(self, sha256: str, trouble: Interrupted, uploaded: int) -> bool:
        """Count a failure of an image alone in its batch; tell whether it is aside now, and to blame."""
        self._up_before.setdefault(sha256, uploaded)
        self.failures[sha256] += 1
        if self.failures[sha256] < TRIES:
            return False
        self._images[sha256] = trouble
        return self._is_to_blame(sha256, uploaded)

    def went_up(self, uploaded: int) -> None:
        """Reject the images that are to blame, now that others have gone up."""
        self._refused.clear()
        self._reject_those_to_blame(uploaded)

    def end(self, files: Mapping[str, Path], console: Console, uploaded: int) -> None:
        """Reject the last few that the site refuses; say which are left for the next run, or raise why, if all are."""
        self._reject_those_to_blame(uploaded)
        for sha256, said in self._refused.items() if len(self._refused) <= TRIES else ():
            self._reject(sha256, said)
        planned = set(self.ledger.planned())  # what the site shows after all is not among them
        for sha256, trouble in self._images.items():
            if sha256 not in planned:
                continue
            if not self.ledger.uploads(*HERE):
                raise trouble
            said = f"{files[sha256]} is left for the next run. {trouble.message}"
            console.print(Text(said), soft_wrap=True)

    def _reject_those_to_blame(self, uploaded: int) -> None:
        for sha256, trouble in self._images.items():
            if isinstance(trouble, Stayed) and trouble.said and self._is_to_blame(sha256, uploaded):
                self._reject(sha256, trouble.said)

    def _reject(self, sha256: str, said: str) -> None:
        if uploads := self.ledger.claim([sha256]):
            self.ledger.reject(uploads, 0, said)

    def _is_to_blame(self, sha256: str, uploaded: int) -> bool:
        return uploaded > self._up_before[sha256]
