"""The images to send, and where this machine keeps what is no pipeline output."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from params import UserError

LIVE_STATE = Path("data/ledger")  # what is no pipeline output: files as served, sandboxes, locks


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


def stored(sha256: str) -> Path:
    """Name the file in the store that keeps what was served."""
    return LIVE_STATE / "files" / sha256[:2] / sha256


def is_stored(sha256: str, size: int) -> bool:
    """Tell whether a file is in the store with all its bytes, which a power failure may have taken."""
    return stored(sha256).exists() and stored(sha256).stat().st_size == size
