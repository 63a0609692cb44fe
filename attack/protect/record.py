"""The record of protected photos: what is done already, and where each copy goes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from attack.protect.protected import Protected
from collect.files import to_json, write_atomically

NAME = "protected.jsonl"


class Line(NamedTuple):
    """Where a photo's line begins in the file, and where its copy is."""

    offset: int
    output: str


class Record:
    """The lines of OUT/protected.jsonl, one a photo; of two about one photo, the later holds.

    Lines stay on disk: of many photos, memory holds no more than where their lines begin.
    """

    def __init__(self, out: Path) -> None:
        self.out, self.file = out, out / NAME
        self.lines: dict[str, Line] = {}
        if self.file.exists():
            self._tidy()

    def _tidy(self) -> None:
        """Write the file anew, whole or not at all: one line a photo, none damaged."""
        last = {row.source: (offset, row.output) for offset, row in _rows(self.file)}
        unfinished = self.file.with_name(f".{NAME}.part")
        with self.file.open("rb") as old, unfinished.open("wb") as new:
            for source, (offset, output) in last.items():
                old.seek(offset)
                self.lines[source] = Line(new.tell(), output)
                new.write(old.readline().rstrip(b"\n") + b"\n")
        unfinished.replace(self.file)

    def done(self, source: Path, settings: dict[str, Any]) -> Protected | None:
        """Return a photo's row if the same photo was protected by the same settings, and the copy is still there."""
        line = self.lines.get(str(source))
        if line is None:
            return None
        try:
            with self.file.open("rb") as file:
                file.seek(line.offset)
                row = Protected.model_validate_json(file.readline())
            same = (
                row.settings == settings
                and row.sha256 == _sha256(source)
                and row.output_sha256 == _sha256(Path(row.output))
            )
        except OSError:
            return None
        return row if same else None

    def add(self, row: Protected, copy: bytes) -> None:
        """Note a row, then put the copy in its place: a kill in between leaves nothing that looks done."""
        with self.file.open("ab") as file:  # never all of it: with many photos that would take hours
            self.lines[row.source] = Line(file.tell(), row.output)
            file.write(to_json(Protected, row).encode())
        write_atomically(Path(row.output), copy)

    def places(self, found: Iterable[tuple[Path, Path]], suffix: str) -> Iterator[tuple[Path, Path]]:
        """Give photos with where their copies go, so that no other copy, source or stranger's file is overwritten."""
        found = list(found)
        out = self.out.resolve()
        sources = {str(source.resolve()) for source, _ in found} | set(self.lines)
        ours = {line.output: source for source, line in self.lines.items()}
        taken: set[str] = set()
        for source, stem in found:
            number = 0
            while True:
                place = out / stem.with_name(stem.name + (f"-{number}" if number else "") + suffix)
                owner = ours.get(str(place))
                free = owner == str(source) if owner else not place.exists()
                if free and str(place.resolve()) not in sources and str(place).casefold() not in taken:
                    break
                number += 1
            taken.add(str(place).casefold())
            yield source, place


def _rows(file: Path) -> Iterator[tuple[int, Protected]]:
    """Give where each line begins and what it says; a damaged one costs protecting its photo again."""
    with file.open("rb") as lines:
        offset = 0
        for line in lines:
            with suppress(ValidationError):
                yield offset, Protected.model_validate_json(line)
            offset += len(line)


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
