"""Identify many chains of real software from their pairs, and set the figures beside the last run's.

Each folder has originals/ and renditions/, files of equal stems, or lies in pairs/ beside a common originals/.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel
from rich.progress import track

from collect.command_line import command_line
from collect.files import read_rows, to_json, write_atomically
from collect.terminal import terminal
from params import UserError
from train.emulator import identify, matching_files


class Row(BaseModel):
    """One chain's result."""

    name: str
    chain: str
    words: str
    identified: bool
    noise: float | None = None  # as the emulator has it
    mae: float  # grey levels, on the pairs that score
    identity_mae: float | None
    exact: float
    pairs: int
    seconds: float


def stacks(
    folders: Annotated[list[Path], typer.Argument(help="Folders of pairs, or folders of such folders.")],
    out: Annotated[Path, typer.Option(help="The table to write; its rows are kept beside it as JSON lines.")],
    seconds: Annotated[float, typer.Option(min=1, help="How long each search may take.")] = 180,
    processes: Annotated[int, typer.Option(min=1, help="Chains identified at once.")] = 1,
) -> None:
    """Identify the chain behind each folder of pairs, and write a table; goes on where it was stopped."""
    jobs = [folder for parent in folders for folder in _folders(parent)]
    if not jobs:
        raise UserError(f"{', '.join(map(str, folders))}: no folder of pairs. Give one with renditions/ in it.")
    unfinished, finished = out.with_suffix(".part.jsonl"), out.with_suffix(".jsonl")
    out.parent.mkdir(parents=True, exist_ok=True)
    rows = {row.name: row for row in read_rows(unfinished, Row, "", unfinished=True)}
    left = [folder for folder in jobs if folder.name not in rows]
    with ProcessPoolExecutor(processes) as pool, unfinished.open("a", encoding="utf-8") as file:
        found = pool.map(_identify, left, [seconds] * len(left))
        for row in track(found, "identify", len(left), console=terminal()):
            file.write(to_json(Row, row))
            file.flush()
            rows[row.name] = row
    last = {row.name: row for row in read_rows(finished, Row, "", unfinished=True)}
    ordered = [rows[folder.name] for folder in jobs]
    write_atomically(out, _table(ordered, last))
    unfinished.replace(finished)
    typer.echo(f"{sum(row.identified for row in ordered)} of {len(ordered)} identified: {out}")


def _folders(folder: Path) -> Iterator[Path]:
    """List a folder of pairs itself, or those in it."""
    if (folder / "renditions").is_dir():
        yield folder
    elif folder.is_dir():
        yield from (inner for inner in sorted(folder.iterdir()) if (inner / "renditions").is_dir())


def _identify(folder: Path, seconds: float) -> Row:
    start = time.monotonic()
    found = identify(matching_files(folder), seconds=seconds)
    taken = found.model_dump(include={"chain", "identified", "noise", "mae", "identity_mae", "exact", "pairs"})
    return Row(name=folder.name, words=found.words, seconds=round(time.monotonic() - start, 1), **taken)


def _table(rows: Sequence[Row], last: Mapping[str, Row]) -> str:
    """Set rows beside the last run's, in Markdown."""
    lines = [
        "| pairs | software | chain | identified | MAE | last MAE | identity's | exact | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        before = f"{last[row.name].mae:.3f}" if row.name in last else "–"
        identity = "–" if row.identity_mae is None else f"{row.identity_mae:.2f}"
        exact = f"{round(row.exact * row.pairs)} of {row.pairs}"
        verdict = "yes" if row.identified else "no" if row.noise is None else f"but for noise of {row.noise:.2%}"
        cells = (row.name, row.words, f"`{row.chain}`", verdict, f"{row.mae:.3f}", before)
        lines.append(f"| {' | '.join((*cells, identity, exact, f'{row.seconds:.0f}'))} |")
    return "\n".join(lines) + "\n"


app = command_line(stacks)

if __name__ == "__main__":
    app(prog_name="python -m train.bench.stacks")
