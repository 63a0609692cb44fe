"""Files and folders, written whole or not at all and durably; JSON and JSON lines, each by its model."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from params import UserError, unwritable

Row = TypeVar("Row")


def write_atomically(file: Path, content: bytes | str, *, mode: int = 0o666) -> None:
    """Write a file whole or not at all: what a crash or a full disk leaves is the file before.

    Args:
        content: text is written as UTF-8.
        mode: as `os.open` takes it, less the umask; 0o600 for what its owner alone may read.

    Raises:
        UserError: the disk has no room, or the place may not be written to.
    """
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as target:
            target.write(content.encode() if isinstance(content, str) else content)
            target.flush()
            os.fsync(target.fileno())
        part.replace(file)
        _sync(file.parent)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise unwritable(file, error) from None


def replace_folder(new: Path, place: Path) -> None:
    """Put a finished folder at a place, durably; what stood there stays where the new one can't come.

    `new` and `place` are on one disk. Raises UserError when the disk does not let it.
    """
    old = place.with_name(f".{place.name}.old")
    try:
        for each in sorted(new.rglob("*")):
            _sync(each)
        _sync(new)
        shutil.rmtree(old, ignore_errors=True)
        if place.exists():
            place.rename(old)
        try:
            new.rename(place)
        except OSError:
            if old.exists():
                old.rename(place)
            raise
        _sync(place.parent)
    except OSError as error:
        raise unwritable(place, error) from None
    shutil.rmtree(old, ignore_errors=True)


def _sync(path: Path) -> None:
    """Have the disk keep a file's content, or a folder's names, before anything else is done."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_adapter = cache(TypeAdapter)  # building one takes longer than reading a row by it


def _model(kind: Any) -> TypeAdapter[Any]:
    return _adapter(kind)


def to_json(kind: type[Row], value: Row, *, indent: int | None = None) -> str:
    """Return a value of a model or a dataclass as JSON, with a newline; in one line unless indented."""
    return _model(kind).dump_json(value, indent=indent).decode() + "\n"


def read_json(file: Path, kind: type[Row], mend: str) -> Row:
    """Read a JSON file by its model; a UserError for one that is missing or damaged, which ends in `mend`."""
    try:
        content: Row = _model(kind).validate_json(file.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{file} is missing. {mend}") from None
    except OSError as error:
        raise UserError(f"{file} can't be read: {error.strerror}. {mend}") from None
    except ValidationError as error:
        raise UserError(f"{file} is damaged ({_first(error)}). {mend}") from None
    return content


def write_rows(file: Path, kind: type[Row], rows: Iterable[Row]) -> None:
    """Write JSON lines, whole or not at all; raises as `write_atomically` does."""
    write_atomically(file, "".join(to_json(kind, row) for row in rows))


def read_rows(file: Path, kind: type[Row], mend: str, *, unfinished: bool = False) -> list[Row]:
    """Read JSON lines by their model.

    Args:
        mend: ends the UserError for a file that is missing, and for a line that is not as it should be.
        unfinished: the file is that of a run that may have been killed: missing, it has no rows, and a line that is
            not whole is left out, so that its work is done again.
    """
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError:
        if unfinished:
            return []
        raise UserError(f"{file} is missing. {mend}") from None
    except OSError as error:
        raise UserError(f"{file} can't be read: {error.strerror}. {mend}") from None
    rows: list[Row] = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(_model(kind).validate_json(line))
        except ValidationError as error:
            if not unfinished:
                raise UserError(f"{file}, line {number}: damaged ({_first(error)}). {mend}") from None
    return rows


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, found['loc']))}: {found['msg']}" if found["loc"] else found["msg"]
