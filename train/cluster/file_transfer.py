"""Files that are sent to machines that share no disk with this one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from functools import partial
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory, gettempdir
from typing import Generic, TypeVar

from collect.files import write_atomically
from params import UserError
from train.cluster.executor import Executor, Local

PREFIX = "comreadv-sent-"  # of the folders for what was sent
LOCK = ".lock"
BATCH_BYTES = 64 * 2**20  # bytes; a batch takes no more files once it has as many

FileBatch = list[tuple[str, bytes]]  # files: the path below a folder, and the content
Item = TypeVar("Item")
Row = TypeVar("Row")
Work = Callable[[Item], Iterable[Row]]


def read_batches(files: Iterable[Path], below: Path = Path()) -> Iterator[FileBatch]:
    """Read files below a folder into batches, some at a time.

    Those by an absolute path, where the folder's is none, are left out: they are read where they are.

    Raises:
        UserError: a file can't be read.
    """
    batch: FileBatch = []
    size = 0
    for file in files:
        if file.is_absolute() and not below.is_absolute():
            continue
        try:
            batch.append((str(file.relative_to(below)), file.read_bytes()))
        except OSError as error:
            raise UserError(f"{file} can't be read: {error.strerror}. Run the stage again that makes it.") from None
        size += len(batch[-1][1])
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    yield batch


def write_batch(batch: FileBatch, below: Path = Path()) -> None:
    """Write files below a folder, in their order, each whole or not at all."""
    for name, content in batch:
        write_atomically(below / name, content)


class ScratchDir:
    """A folder for the files that this process is sent, gone at the latest when the process ends.

    A process that is killed leaves its own behind, with people's photos: the next one on the machine removes it. A
    living process holds the lock of a file in its folder.
    """

    def __init__(self) -> None:
        for left in Path(gettempdir()).glob(f"{PREFIX}*"):
            with suppress(OSError), (left / LOCK).open("rb") as lock:  # held, another user's, or not made whole yet
                flock(lock, LOCK_EX | LOCK_NB)
                rmtree(left, ignore_errors=True)
        self._folder = TemporaryDirectory(prefix=PREFIX)
        self.path = Path(self._folder.name)
        new = self.path / f"{LOCK}.new"
        self._lock = new.open("wb")
        flock(self._lock, LOCK_EX)
        new.rename(self.path / LOCK)  # only now, for others take one that nobody holds

    def close(self) -> None:
        """Leave none of the files behind."""
        self._folder.cleanup()
        self._lock.close()


def map_with_files(
    on: Executor,
    start: Callable[[Path], Work[Item, Row]],
    folder: Path,
    files: Iterable[Path],
    items: Sequence[Item],
) -> Iterator[Iterable[Row]]:
    """Do work that reads files of a folder, on items; give each item's rows in the items' order.

    Here, they come while the work goes on; from other machines, when it is done.

    Args:
        start: called with the folder, or one elsewhere that has the files, in each process that works; picklable.
    """
    if not items:
        return iter(())
    if isinstance(on, Local):
        return on.map(partial(start, folder), items)
    return on.map(StartElsewhere(start, list(read_batches(files, folder))), items)


@dataclass(frozen=True)
class StartElsewhere(Generic[Item, Row]):
    """Start work on another machine."""

    start: Callable[[Path], Work[Item, Row]]
    sent: list[FileBatch]

    def __call__(self) -> Callable[[Item], list[Row]]:
        folder = ScratchDir()
        for batch in self.sent:
            write_batch(batch, folder.path)
        return ListingWork(self.start(folder.path), folder)


@dataclass(frozen=True)
class ListingWork(Generic[Item, Row]):
    """Work whose rows are all made before they are sent."""

    work: Work[Item, Row]
    folder: ScratchDir  # held, since it is gone when nobody holds it

    def __call__(self, item: Item) -> list[Row]:
        return list(self.work(item))
