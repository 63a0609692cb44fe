"""An image that is to go up, by name, file and content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from params import UserError


@dataclass(frozen=True)
class Original:
    """An image to send: its name (split/stem.png), its file and the file's sha256."""

    name: str
    path: Path
    sha256: str

    @classmethod
    def of(cls, path: Path, name: str | None = None) -> Original:
        """Make one of a file, named as the file unless told."""
        return cls(name or path.name, path, hashlib.sha256(path.read_bytes()).hexdigest())


def changed(file: Path) -> UserError:
    """Make the error for an image that is not what a run has begun with."""
    return UserError(f"{file} is gone, or another file than before. Run again, to begin with what is there.")
