"""The manifest of round trips is read as it was written, by this version or an earlier one."""

import json
from pathlib import Path

import pytest

from collect.round_trip import Served, read_round_trips
from collect.round_trip.manifest import Missing, Rejected, write_manifest
from params import UserError

EARLIER = {
    "address": "https://site/1.jpg",
    "bytes": 4,
    "downloaded_at": "2026-01-02T03:04:05+00:00",
    "file": "test/a.jpg",
    "format": "JPEG",
    "generation": 2,
    "platform": "weibo",
    "remote_id": "1",
    "rendition": "large",
    "sha256": "00",
    "source": "test/a.png",
    "source_sha256": "01",
    "uploaded_at": "2026-01-02T03:04:00+00:00",
}


def test_what_an_earlier_version_wrote_is_read(tmp_path: Path) -> None:
    refused = [{"source": "test/b.png", "rejected": "too dull"}, {"source": "test/c.png", "missing": "HTTP 500."}]
    lines = [EARLIER, *refused, EARLIER | {"source": "test/d.png", "mosaic": "02"}]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    first, second = read_round_trips(tmp_path)
    assert first == Served.model_validate(EARLIER) and first.mosaic is None
    assert (second.source, second.mosaic) == ("test/d.png", "02")


def test_what_is_written_is_read_and_the_rest_stays_in_the_file(tmp_path: Path) -> None:
    row = Served.model_validate(EARLIER)
    rejected, missing = Rejected(source="é", rejected="too dull"), Missing(source="c", missing="HTTP 500.")
    write_manifest(tmp_path, [row, rejected, missing])
    assert read_round_trips(tmp_path) == [row]
    lines = (tmp_path / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines[1:]] == [rejected.model_dump(), missing.model_dump()]


@pytest.mark.parametrize("line", ["", "{", "[]", json.dumps({"source": "a"}), json.dumps(EARLIER | {"bytes": "many"})])
def test_a_damaged_line_and_a_missing_manifest_are_the_users_to_mend(tmp_path: Path, line: str) -> None:
    folder = tmp_path / "weibo"
    with pytest.raises(UserError, match="Run `comreadv collect --platform weibo`"):
        read_round_trips(folder)
    folder.mkdir()
    (folder / "manifest.jsonl").write_text(f"{json.dumps(EARLIER)}\n{line}\n")
    with pytest.raises(UserError, match=r"line 2: damaged .* Run `comreadv collect --platform weibo`"):
        read_round_trips(folder)
