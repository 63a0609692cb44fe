"""The record of protected photos: what is done already, and where each copy goes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

NAME = "protected.jsonl"


class Record:
    """The lines of OUT/protected.jsonl, one a photo; of two about one photo, the later holds."""

    def __init__(self, out: Path) -> None:
        self.out, self.file = out, out / NAME
        self.rows: dict[str, dict[str, Any]] = {}
        for line in self.file.read_text(encoding="utf-8").splitlines() if self.file.exists() else []:
            try:
                row = json.loads(line)
                self.rows[row["source"]] = row
            except (ValueError, KeyError, TypeError):
                continue  # a damaged line costs protecting its photo again
        self.tidy()

    def tidy(self) -> None:
        """Write the file anew, whole or not at all: one line a photo, none damaged."""
        if not self.rows:
            return
        unfinished = self.file.with_name(f".{NAME}.part")
        unfinished.write_text("".join(map(_line, self.rows.values())), encoding="utf-8")
        unfinished.replace(self.file)

    def done(self, source: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
        """Return a photo's row if the same photo was protected by the same settings, and the copy is still there."""
        row = self.rows.get(str(source))
        try:
            same = (
                row is not None
                and row["settings"] == settings
                and row["sha256"] == _sha256(source)
                and row["output_sha256"] == _sha256(Path(row["output"]))
            )
        except (OSError, KeyError):
            return None
        return row if same else None

    def keep(self, row: dict[str, Any], part: Path) -> None:
        """Note a row, then put the finished copy in its place: a kill in between leaves nothing that looks done."""
        with self.file.open("a", encoding="utf-8") as file:  # never all of it: with many photos that would take hours
            file.write(_line(row))
        self.rows[row["source"]] = row
        part.replace(row["output"])

    def places(self, found: Iterable[tuple[Path, Path]], suffix: str) -> dict[Path, Path]:
        """Choose where each photo's copy goes, so that no other copy, source or stranger's file is overwritten."""
        found = list(found)
        sources = {source.resolve() for source, _ in found} | {Path(source) for source in self.rows}
        ours = {Path(row["output"]): source for source, row in self.rows.items() if "output" in row}
        taken: set[str] = set()
        chosen = {}
        for source, stem in found:
            number = 0
            while True:
                place = self.out.resolve() / stem.with_name(stem.name + (f"-{number}" if number else "") + suffix)
                owner = ours.get(place)
                free = owner == str(source) if owner else not place.exists()
                if free and place.resolve() not in sources and str(place).casefold() not in taken:
                    break
                number += 1
            taken.add(str(place).casefold())
            chosen[source] = place
        return chosen


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
