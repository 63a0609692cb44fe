"""Attacks side by side on real codecs: ours, the literature's, and the peers' own code from their packages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from attack.bench.rows import Row, append_row
from attack.bench.settings import Settings, Todo

if TYPE_CHECKING:
    from train.cluster import Executor


def compare(
    settings: Settings,
    asked: Mapping[str, Sequence[tuple[int, str]]],
    known: Sequence[Row],
    work: Path,
    out: Path,
    executor: Executor,
) -> Iterator[Row]:
    """Give each codec's rows, from an earlier run where they stand there; write new ones as they come.

    Args:
        asked: eps and attacks by codec.
    """
    from attack.bench.runner import Bench
    from train.cluster import map_with_files

    found: dict[tuple[str, int, str], Row] = {}
    for codec, attacks in asked.items():
        for eps, name in attacks:
            key = settings.key(codec, name, eps)
            if row := next((row for row in known if row.model_dump(include=set(key)) == key), None):
                found[codec, eps, name] = row
    todo = [
        Todo(codec, left)
        for codec, attacks in asked.items()
        if (left := [(eps, name) for eps, name in attacks if (codec, eps, name) not in found])
    ]
    photos = [work / photo for photo in {*settings.training, *settings.photos}]
    for new in map_with_files(executor, partial(Bench, settings), work, photos, todo):
        for row in new:
            append_row(out, row)
            found[row.codec, row.eps, row.attack] = row
    for codec, attacks in asked.items():
        yield from (found[codec, eps, name] for eps, name in attacks)


def write_plots(rows: Sequence[Row], out: Path) -> list[Path]:
    """Write success against ε for each codec beside `out`, where there are several; return the files."""
    from attack.bench.runner import file_name
    from attack.evaluation.success_plot import eps_plot
    from collect.files import write_atomically

    files = []
    for codec in dict.fromkeys(row.codec for row in rows):
        lines: dict[str, list[Row]] = {}
        for row in rows:
            if row.codec == codec:
                lines.setdefault(row.attack, []).append(row)
        if len({row.eps for some in lines.values() for row in some}) > 1:
            files.append(out.with_name(f"{out.stem}-{file_name(codec)}.svg"))
            write_atomically(files[-1], eps_plot(lines, ["best"]))
    return files
