"""An unfinished run on disk, from which the same command goes on."""

from __future__ import annotations

import pickle
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from collect.files import write_atomically


class ResumeFile:
    """A file that holds a run's state and the key of what the run was made from; another key's state is no state."""

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key

    def read(self) -> dict[str, Any] | None:
        """Read the state; None when there is none, or it is damaged or another run's."""
        try:
            found = torch.load(self.path, map_location="cpu", weights_only=True)
        except (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError):
            return None
        if not isinstance(found, dict) or found.get("key") != self.key:
            return None
        return found

    def write(self, state: dict[str, Any]) -> None:
        """Write the state whole or not at all."""
        content = BytesIO()
        torch.save({"key": self.key, **state}, content)
        write_atomically(self.path, content.getvalue())

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
