"""Files are written whole or not at all, and read by their models."""

import errno
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collect import files
from collect.files import read_json, read_rows, replace_folder, to_json, write_atomically, write_rows
from params import UserError


@dataclass(frozen=True)
class Row:
    name: str
    count: int


def test_a_file_is_written_with_its_mode_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "new" / "secret.json"
    write_atomically(file, "é", mode=0o600)
    write_atomically(file, b"second", mode=0o600)
    assert file.read_bytes() == b"second"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_where_the_disk_fails_the_file_before_stays_and_the_person_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    file = tmp_path / "file"
    write_atomically(file, "before")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), full)
    with pytest.raises(UserError, match="Make room"):
        write_atomically(file, "after")
    assert [each.read_text() for each in tmp_path.iterdir()] == ["before"]


def test_content_and_folder_reach_the_disk_before_and_after_the_file_takes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, seen, fsync = tmp_path / "file", [], os.fsync

    def watched(descriptor: int) -> None:
        seen.append((Path(f"/proc/self/fd/{descriptor}").readlink(), file.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    write_atomically(file, "content")
    assert [exists for _, exists in seen] == [False, True]
    assert seen[1][0] == tmp_path


def folder(path: Path, content: str) -> Path:
    (path / "below").mkdir(parents=True)
    (path / "below" / "file").write_text(content)
    return path


def test_a_folder_takes_anothers_place(tmp_path: Path) -> None:
    new, place = folder(tmp_path / "new", "new"), folder(tmp_path / "place", "old")
    replace_folder(new, place)
    assert (place / "below" / "file").read_text() == "new"
    assert list(tmp_path.iterdir()) == [place]
    replace_folder(folder(tmp_path / "new", "third"), tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "below" / "file").read_text() == "third"


def test_a_folder_that_can_not_come_leaves_the_other_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, place, rename = folder(tmp_path / "new", "new"), folder(tmp_path / "place", "old"), Path.rename

    def refused(path: Path, target: Path) -> Path:
        if path == new:
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(UserError, match="Input/output error"):
        replace_folder(new, place)
    assert (place / "below" / "file").read_text() == "old"


@given(st.lists(st.builds(Row, st.text(), st.integers())))
def test_rows_come_back_as_they_were(rows: list[Row]) -> None:
    lines = "".join(to_json(Row, row) for row in rows)
    assert lines.count("\n") == len(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda _: lines.encode())
        assert read_rows(Path("rows.jsonl"), Row, "") == rows


def test_a_damaged_line_is_named_and_of_a_run_that_was_killed_left_out(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    write_rows(file, Row, [Row("a", 1), Row("b", 2)])
    with file.open("a") as kept:
        kept.write('{"name": "c", "cou')
    assert read_rows(file, Row, "", unfinished=True) == [Row("a", 1), Row("b", 2)]
    with pytest.raises(UserError, match=r"rows.jsonl, line 3: damaged .* Run it again\."):
        read_rows(file, Row, "Run it again.")


def test_what_is_missing_is_said_with_what_to_do(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "none", Row, "", unfinished=True) == []
    for read in (read_rows, read_json):
        with pytest.raises(UserError, match=r"none is missing. Run it first\."):
            read(tmp_path / "none", Row, "Run it first.")
        with pytest.raises(UserError, match="can't be read"):
            read(tmp_path, Row, "")


def test_json_of_another_kind_is_told_by_its_key(tmp_path: Path) -> None:
    file = tmp_path / "row.json"
    write_atomically(file, '{"name": "a", "count": "many"}')
    with pytest.raises(UserError, match=r"row.json is damaged \(count: .*integer.*\)"):
        read_json(file, Row, "")
    write_atomically(file, to_json(Row, Row("a", 1), indent=2))
    assert read_json(file, Row, "") == files.read_json(file, Row, "") == Row("a", 1)
