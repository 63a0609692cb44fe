"""The terminal, stderr: one console for progress bars and log lines, so that neither overwrites the other."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

LOGGERS = ("collect", "pairing", "train", "attack")  # our packages'


class _Terminal:
    console: Console | None = None


def terminal() -> Console:
    """Return the console of stderr."""
    from rich.console import Console

    shared = _Terminal.console
    if shared is None or shared.file is not sys.stderr:  # a test, or a notebook, has put another in its place
        shared = _Terminal.console = Console(stderr=True, soft_wrap=True)
    return shared


class _TerminalHandler(logging.Handler):
    """Print log lines as they are, so that commands and paths in them can be copied, above a progress bar that runs."""

    def emit(self, record: logging.LogRecord) -> None:
        from rich.text import Text

        terminal().print(Text(self.format(record)), soft_wrap=True)


def log_to_terminal() -> None:
    """Send the packages' log lines to stderr: plain at a terminal, with times and levels in a scheduler's log."""
    handler = _TerminalHandler() if terminal().is_terminal else logging.StreamHandler()
    if not terminal().is_terminal:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(logging.INFO)
