"""The thumbnails of a run's files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from collect.images import Unusable
from collect.round_trip.original import changed
from collect.thumbnails import SIDE, Thumbnail, read_thumbnail, shows


class ThumbnailIndex:
    """The thumbnails of a run's files, by sha256, each made when it is first asked for."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files
        self._rows: dict[str, int] = {}
        self._thumbnails = np.empty((256, SIDE, SIDE, 3), np.float32)  # the rows beyond those are room for more

    def of(self, sha256: str) -> Thumbnail:
        if sha256 not in self._rows:
            row = len(self._rows)
            if row == len(self._thumbnails):
                self._thumbnails = np.concatenate([self._thumbnails, np.empty_like(self._thumbnails)])
            try:
                self._thumbnails[row] = read_thumbnail(self._files[sha256])
            except Unusable:
                raise changed(self._files[sha256]) from None
            self._rows[sha256] = row
        own: Thumbnail = self._thumbnails[self._rows[sha256]]
        return own

    def shown_by(self, served: Thumbnail, sha256: str) -> bool:
        """Tell whether a file shows an image, rather than none or clearly another one that was asked for so far."""
        return shows(served, self.of(sha256), self._thumbnails[: len(self._rows)])
