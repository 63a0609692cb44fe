"""Protect many photos, one after the other: skip what is done, go on past what fails, and keep a record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from attack.photo import Unwritable, unfinished
from attack.protect import STEPS, Protector, to_json
from attack.protect_record import Record
from collect.photos import Unusable
from params import UserError


def run(
    protector: Protector, found: Sequence[tuple[Path, Path]], out: Path, suffix: str
) -> tuple[list[dict[str, Any]], list[str], dict[Path, str]]:
    """Protect photos.

    Args:
        found: photos, and where their copies go below `out`, without suffix.

    Returns:
        The record's rows of the photos, the sources of those that were done before, and why others failed.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        record = Record(out)
    except OSError as error:
        raise UserError(f"--out {out} can't be used ({error}). Give another folder.") from None
    places = record.places(found, suffix)
    rows: list[dict[str, Any]] = []
    skipped: list[str] = []
    failed: dict[Path, str] = {}
    console = Console(stderr=True)
    with Progress(console=console) as bar:
        task = bar.add_task("", total=len(found))
        for number, source in enumerate(places):
            bar.update(task, description=source.name[:40], completed=number)
            if row := record.done(source, protector.settings):
                rows.append(row)
                skipped.append(str(source))
                continue
            try:
                made = protector.protect(
                    source, places[source], lambda: bar.advance(task, 1 / (3 + STEPS[protector.wish.goal]))
                )
                record.keep(to_json(made), unfinished(places[source]))
                rows.append(to_json(made))
            except (Unusable, Unwritable, ValueError, OSError) as error:
                failed[source] = (str(error) or type(error).__name__).rstrip(".")
            except KeyboardInterrupt:
                console.print("Stopped. What is done stays done; run again to go on.")
                raise
            finally:
                unfinished(places[source]).unlink(missing_ok=True)
        bar.update(task, completed=len(found))
    return rows, skipped, failed
