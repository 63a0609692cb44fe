"""Locks between processes that work in one folder; one that is killed lets go of what it held."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from collect.store import LIVE_STATE
from params import unwritable

FRESHNESS = LIVE_STATE / "retrain.lock"  # under which generations rise and models are made anew

logger = logging.getLogger(__name__)


@contextmanager
def file_lock(file: Path, waiting: str | None = None) -> Iterator[IO[str]]:
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
                logger.info(waiting)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
