"""Locks between processes that work in one folder; one that is killed lets go of what it held."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rich.console import Console

from collect.store import LIVE_STATE
from params import unwritable

FRESHNESS = LIVE_STATE / "retrain.lock"  # under which generations rise and models are made anew


@contextmanager
def held(file: Path, waiting: str | None = None) -> Iterator[IO[str]]:
    """Hold a file's lock; wait for who has it, and say so."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = file.open("a")
    except OSError as error:
        raise unwritable(file, error) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                Console(stderr=True).print(waiting)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
