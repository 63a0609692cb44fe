"""What a run does is told on stderr to the letter, with time and level where nobody looks on."""

import logging
from collections.abc import Iterator
from io import StringIO

import pytest
from rich.console import Console

from collect import terminal

ODD = 'weibo: [/b] textarea[name^="desc_"] :cat: 100%'  # what rich takes for marks of its own


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    before = {name: logging.getLogger(name).handlers for name in terminal.LOGGERS}
    yield
    for name, handlers in before.items():
        logging.getLogger(name).handlers = handlers


def test_a_person_reads_what_a_site_says_to_the_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=StringIO(), force_terminal=True, color_system=None, width=30, soft_wrap=True)
    monkeypatch.setattr(terminal, "terminal", lambda: console)
    terminal.log_to_terminal()
    logging.getLogger("collect.round_trip.uploads").warning("%s", ODD)
    logging.getLogger("collect.locks").info(ODD)
    assert isinstance(console.file, StringIO)
    assert console.file.getvalue() == f"{ODD}\n{ODD}\n"


def test_a_schedulers_log_has_times_and_levels(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.log_to_terminal()
    logging.getLogger("collect.round_trip.uploads").warning("%s", ODD)
    line = capsys.readouterr().err
    assert line.endswith(f" WARNING {ODD}\n") and line[:2] == "20"
