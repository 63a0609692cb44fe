"""Attacks side by side on real codecs: ours, the literature's, and the peers' own code from their packages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from attack.bench import rows as bench_rows
from attack.bench.rows import Row

if TYPE_CHECKING:
    from attack.bench.runner import Settings
    from train.cluster import Executor

SIZE = 224  # pixels, of the prepared photos
MOST_TRAINING = 100  # photos to learn a codec from


def made(
    settings: Settings,
    asked: Mapping[str, Sequence[tuple[int, str]]],
    known: Sequence[Row],
    work: Path,
    out: Path,
    on: Executor,
) -> Iterator[Row]:
    """Give each codec's rows, from an earlier run where they stand there; write new ones as they come.

    Args:
        asked: eps and attacks by codec.
    """
    from attack.bench.runner import Bench, Todo
    from train.cluster import map_with_files

    found: dict[tuple[str, int, str], Row] = {}
    for chain, attacks in asked.items():
        for eps, name in attacks:
            key = settings.key(chain, name, eps)
            row = next((row for row in known if all(row.get(each) == value for each, value in key.items())), None)
            if row is not None:
                found[chain, eps, name] = row
    todo = [
        Todo(chain, left)
        for chain, attacks in asked.items()
        if (left := [(eps, name) for eps, name in attacks if (chain, eps, name) not in found])
    ]
    photos = [work / photo for photo in {*settings.training, *settings.photos}]
    for new in map_with_files(on, partial(Bench, settings), work, photos, todo):
        for row in new:
            bench_rows.append(out, row)
            found[row["codec"], row["eps"], row["attack"]] = row
    for chain, attacks in asked.items():
        yield from (found[chain, eps, name] for eps, name in attacks)


def draw(rows: list[Row], out: Path) -> list[Path]:
    """Write success against ε for each codec beside `out`, where there are several; return the files."""
    from attack.bench.runner import safe
    from attack.report.plots import eps_plot

    files = []
    for chain in dict.fromkeys(row["codec"] for row in rows):
        lines: dict[str, list[Row]] = {}
        for row in rows:
            if row["codec"] == chain:
                lines.setdefault(row["attack"], []).append(row)
        if len({row["eps"] for some in lines.values() for row in some}) > 1:
            files.append(out.with_name(f"{out.stem}-{safe(chain)}.svg"))
            files[-1].write_text(eps_plot(lines, ["best"]), encoding="utf-8")
    return files
