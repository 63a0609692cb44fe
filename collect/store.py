"""The images to send, and where this machine keeps what is no pipeline output."""

from __future__ import annotations

from pathlib import Path

LIVE_STATE = Path("data/ledger")  # what is no pipeline output: files as served, sandboxes, locks


def stored(sha256: str) -> Path:
    """Name the file in the store that keeps what was served."""
    return LIVE_STATE / "files" / sha256[:2] / sha256


def is_stored(sha256: str, size: int) -> bool:
    """Tell whether a file is in the store with all its bytes, which a power failure may have taken."""
    return stored(sha256).exists() and stored(sha256).stat().st_size == size
