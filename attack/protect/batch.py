"""Protect many photos: skip what is done, go on past what fails, and keep a record."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.progress import Progress

from attack.protect import photo
from attack.protect.photo import Unwritable
from attack.protect.protected import Protected
from attack.protect.protector import STEPS, Protector
from attack.protect.record import Record
from collect.images import Unusable
from collect.terminal import terminal
from params import UserError
from train.cluster import Executor, Local

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Photo:
    """A photo as it is sent to where it is protected."""

    source: str
    output: str
    data: bytes | str  # its file; or why it can't be read


@dataclass(frozen=True)
class Result:
    """What became of a photo: a row of the record, or the reason why there is none."""

    source: str
    row: Protected | None
    reason: str = ""
    copy: bytes = b""
    done_before: bool = False


@dataclass(frozen=True)
class WorkerInit:
    """Begin to protect photos in a process.

    Args:
        step: told of each pass; only where the process is this one.
    """

    protector: Protector
    step: Callable[[], None] | None = None

    def __call__(self) -> Callable[[Photo], Result]:
        return self.protect

    def protect(self, sent: Photo) -> Result:
        if isinstance(sent.data, str):
            return Result(sent.source, None, sent.data)
        try:
            row, copy = self.protector.protect(sent.data, sent.source, sent.output, self.step or (lambda: None))
        except (Unusable, Unwritable, ValueError, OSError) as error:
            return Result(sent.source, None, _reason(error))
        return Result(sent.source, row, copy=copy)


def protect_all(
    protector: Protector,
    found: Sequence[tuple[Path, Path]],
    out: Path,
    suffix: str,
    tell: Callable[[Result], None],
    executor: Executor,
) -> None:
    """Protect photos; none of what is made is kept in memory.

    Args:
        found: photos, and where their copies go below `out`, without suffix.
        tell: is told what became of each, done before or now; those that were done before come early.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        record = Record(out)
    except OSError as error:
        raise UserError(f"--out {out} can't be used ({error}). Give another folder.") from None
    with Progress(console=terminal(), redirect_stdout=False) as bar:  # stdout is for what is told
        task = bar.add_task("", total=len(found))
        passes = 3 + STEPS[protector.request.goal]
        step = (lambda: bar.advance(task, 1 / passes)) if isinstance(executor, Local) else None
        finished = 0

        def passed(result: Result) -> None:
            nonlocal finished
            finished += 1
            tell(result)
            bar.update(task, description=Path(result.source).name[:40], completed=finished)

        try:
            for result in executor.map(WorkerInit(protector, step), _todo(record, protector, found, suffix, passed)):
                passed(_recorded(record, result))
        except KeyboardInterrupt:
            logger.info("Stopped. What is done stays done; run again to go on.")
            raise


def _todo(
    record: Record,
    protector: Protector,
    found: Sequence[tuple[Path, Path]],
    suffix: str,
    passed: Callable[[Result], None],
) -> Iterator[Photo]:
    """Give what is not done yet, read when it is asked for."""
    for source, place in record.places(found, suffix):
        if row := record.done(source, protector.settings):
            passed(Result(str(source), row, done_before=True))
            continue
        try:
            data: bytes | str = photo.read_file(source)
        except (Unusable, OSError) as error:
            data = _reason(error)
        yield Photo(str(source), str(place), data)


def _recorded(record: Record, result: Result) -> Result:
    if result.row is None:
        return result
    try:
        record.add(result.row, result.copy)
    except (OSError, UserError) as error:
        return Result(result.source, None, _reason(error))
    return replace(result, copy=b"")


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).rstrip(".")
