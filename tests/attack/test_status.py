"""`comreadv status` on small projects: what is there is told, and what is out of date, with the command to mend it."""

import json
import re
import shlex
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from figures import evaluation, figures, training
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from typer.testing import CliRunner

import comreadv
from attack.status import examine
from collect.ledger.models import Probe
from collect.ledger.transactions import open_ledger
from pairing.database import Base, Pair, RoundTrip, Source
from params import UserError, load

ROOT = Path(__file__).parent.parent.parent
CODEC = {"format": "JPEG", "sampling": "4:4:4", "progressive": False, "quality": 85, "tables": [[1] * 64]}
SETTINGS = """
scale: laptop
collect: {}
pairing: {}
train: {}
attack: {attacks: [mim, best], eps: [3, 5]}
paper: {dataset: {}, train: {}, attack: {}}
dataset: {name: sample}
platforms:
  weibo: {adapter: weibo, rendition: large}
  douban: {adapter: douban, site: live, album: "1"}
switched_off:
  jpeg-25: {adapter: codec, codec: "jpeg:25"}
evaluate: {confidence: 0.95}
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which nothing has been done."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(SETTINGS)
    return tmp_path


def write(file: str, content: dict) -> None:
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(json.dumps(content))


def write_fingerprint(generation: int, **more: object) -> None:
    known = {"platform": "weibo", "generation": generation, "codec": CODEC | {"longest_side": 2048}}
    write("fingerprints/weibo.json", known | more)


def note_probe(ago: timedelta) -> None:
    with open_ledger(load().collect.ledger) as engine, Session(engine) as books:
        moment = (datetime.now(UTC) - ago).isoformat(timespec="seconds")
        books.add(Probe(platform="weibo", generation=1, probed_at=moment, changed=False, seen="{}"))
        books.commit()


def write_pairs(generation: int) -> None:
    """Write pairs: two of training and one of the test accepted, another one rejected."""
    Path("data/pairs").mkdir(parents=True, exist_ok=True)
    engine = create_engine("sqlite:///data/pairs/weibo.db")
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        for number, split in enumerate(("train", "train", "test", "train")):
            source = Source(platform="weibo", name=f"{split}/{number}.png", path="", split=split, sha256="")
            of_file = {"remote_id": "", "rendition": "", "path": "", "format": "JPEG", "bytes": 1, "sha256": ""}
            trip = RoundTrip(source=source, platform="weibo", generation=generation, **of_file)
            session.add(Pair(round_trip=trip, accepted=number < 3, reason=None if number < 3 else "another image"))
        session.commit()
    engine.dispose()


def write_all(generation: int) -> None:
    """Write what a whole run leaves."""
    write_fingerprint(generation)
    write_pairs(generation)
    emulator = {"chain": "jpeg:85:444", "identified": True}
    write("models/weibo.json", training("weibo", generation, mae=1.234, identity_mae=3.0, emulator=emulator))
    attacks = {name: figures(after, images=12, low=0.5, high=0.9) for name, after in (("mim", 0.0), ("best", 0.75))}
    write("reports/weibo.json", evaluation("weibo", {"eps3": attacks, "eps5": attacks}, generation))


def told(*arguments: str) -> str:
    answer = CliRunner().invoke(comreadv.app, ["status", *arguments])
    assert answer.exit_code == 0, answer.output
    return answer.stdout


def stale() -> list[tuple[str, str]]:
    return [(each.what, each.command) for each in examine("weibo", load(), datetime.now(UTC)).stale]


def test_a_platform_that_is_up_to_date_is_told_whole_in_80_columns() -> None:
    write_all(2)
    note_probe(timedelta(days=6))
    said = told("--platform", "weibo")
    assert max(map(len, said.splitlines())) <= 80 and "\x1b" not in said
    for line in (
        r"weibo \(sandbox\)",
        r"  codec +JPEG 85, 4:4:4, baseline, at most 2048 pixels; generation 2",
        r"  probed +20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC",
        r"  pairs +2 train, 0 validation, 1 test; 1 rejected; generation 2",
        r"  ComModel +hybrid, MAE 1.23, jpeg:85:444 identified; generation 2",
        r"  success +75 % \(50–90\) of 12, by best at ε=5; generation 2",
        r"  stale +nothing",
    ):
        assert re.search(f"^{line}$", said, re.MULTILINE), line


def test_the_json_is_of_plain_objects_one_a_platform() -> None:
    write_all(2)
    weibo, douban = json.loads(told("--json"))
    assert (weibo["platform"], weibo["on"], weibo["site"], weibo["generation"]) == ("weibo", True, "sandbox", 2)
    assert weibo["pairs"] == {"generation": 2, "train": 2, "validation": 0, "test": 1, "rejected": 1}
    codec = {"codec": "jpeg:85:444", "software": None, "identified": True}
    assert weibo["model"] == {"name": "hybrid", "generation": 2, "mae": 1.234, "put_back": None} | codec
    best = {"attack": "best", "eps": 5, "generation": 2, "images": 12, "success_after": 0.75, "low": 0.5, "high": 0.9}
    assert weibo["success"] == best
    assert weibo["stale"] == [{"what": "never probed", "command": "comreadv drift --platform weibo"}]
    assert all(douban[key] is None for key in ("codec", "generation", "last_probe", "pairs", "model", "success"))


def test_nothing_done_yet_is_no_error_names_the_commands_and_leaves_nothing_behind(project: Path) -> None:
    said = told("--platform", "weibo")
    for command in ("comreadv drift --platform weibo --write", "dvc repro pairing@weibo", "dvc repro train@weibo"):
        assert f"→ {command}\n" in said
    assert [file.name for file in project.iterdir()] == ["params.yaml"]


def test_what_is_of_an_earlier_generation_is_stale_and_nothing_else() -> None:
    write_all(1)
    note_probe(timedelta(days=1))
    assert stale() == []
    write_fingerprint(2)
    assert stale() == [
        ("pairs of generation 1, codec of generation 2", "dvc repro pairing@weibo"),
        ("ComModel of generation 1, codec of generation 2", "comreadv retrain --platform weibo"),
        ("evaluation of generation 1, codec of generation 2", "dvc repro evaluate@weibo"),
    ]
    write_pairs(2)
    assert [command for _, command in stale()] == ["comreadv retrain --platform weibo", "dvc repro evaluate@weibo"]


def test_a_probe_is_stale_after_a_week() -> None:
    write_all(1)
    note_probe(timedelta(days=9, hours=1))
    assert stale() == [("last probed 9 days ago", "comreadv drift --platform weibo")]
    note_probe(timedelta(days=6, hours=23))
    assert stale() == []


def test_a_clone_without_the_ledger_goes_by_the_fingerprints_date() -> None:
    write_all(1)
    today = datetime.now(UTC).date()
    write_fingerprint(1, seen=today.isoformat())
    assert stale() == []
    write_fingerprint(1, seen=(today - timedelta(days=30)).isoformat())
    assert stale()[0] == ("last probed 30 days ago", "comreadv drift --platform weibo")


def test_qualities_that_vary_with_content_are_a_range() -> None:
    write_fingerprint(1, qualities={"92": 10, "71": 2})
    assert re.search(r"JPEG 71\D+92 by content", told("--platform", "weibo"))


def test_a_live_site_is_asked_for_by_word_and_a_row_that_is_off_needs_no_dvc() -> None:
    live, off = told("--platform", "douban"), told("--platform", "jpeg-25")
    assert "→ comreadv drift --platform douban --live --write\n" in live
    assert "→ COMREADV_LIVE=1 dvc repro pairing@douban\n" in live
    assert "jpeg-25 (a local encoder, switched off)" in off
    assert "→ comreadv collect --platform jpeg-25 && comreadv pairing --platform jpeg-25\n" in off and "dvc" not in off


def test_pairs_of_a_shared_database_are_told_where_there_is_no_file_and_those_it_lacks_are_named(
    pairs_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_all(2)
    lacking = ("pairs not in the shared database", "comreadv pairs --platform weibo --publish")
    assert lacking not in stale()
    monkeypatch.setenv("COMREADV_PAIRS", pairs_url)
    assert lacking in stale()
    answer = CliRunner().invoke(comreadv.app, ["pairs", "--platform", "weibo"])
    assert answer.exit_code == 1 and f"Run `{lacking[1]}`" in " ".join(answer.output.split())
    answer = CliRunner().invoke(comreadv.app, [*shlex.split(lacking[1])[1:], "--worst", "0"])
    assert answer.exit_code == 0 and "data/pairs/weibo.db is in the shared database" in answer.output
    assert lacking not in stale()
    before = told("--platform", "weibo")
    Path("data/pairs/weibo.db").unlink()
    assert told("--platform", "weibo") == before and "2 train, 0 validation, 1 test; 1 rejected" in before
    write_pairs(3)
    assert lacking in stale()


@pytest.mark.parametrize("file", ["fingerprints", "models", "reports", "data/pairs"])
@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b'{"generation": 1}', b"[]"])
def test_a_damaged_file_is_named_with_what_to_do(file: str, content: bytes) -> None:
    write_all(1)
    (path,) = Path(file).iterdir()
    path.write_bytes(content)
    answer = CliRunner().invoke(comreadv.app, ["status"])
    assert answer.exit_code == 1 and isinstance(answer.exception, SystemExit)
    said = " ".join(answer.stderr.split())
    assert str(path) in said and re.search(r"Run `comreadv \w+ --platform weibo`|Restore it with git", said)


@pytest.mark.parametrize("seen", [{"codec": []}, {"codec": {}, "seen": "yesterday"}, {"qualities": 3, "codec": {}}])
def test_a_fingerprint_that_is_no_fingerprint_is_named(seen: dict) -> None:
    write("fingerprints/weibo.json", {"generation": 1} | seen)
    with pytest.raises(UserError, match=r"fingerprints/weibo.json .*git"):
        examine("weibo", load(), datetime.now(UTC))


def test_every_command_that_mends_is_there_with_its_options() -> None:
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    commands = [each["command"] for row in json.loads(told("--json")) for each in row["stale"]]
    for command in ("comreadv retrain --platform weibo --live", *commands):
        program, name, *options = shlex.split(command)
        if program == "dvc":
            assert name == "repro" and options[0].partition("@")[0] in (ROOT / "dvc.yaml").read_text()
            continue
        said = CliRunner().invoke(comreadv.app, [name, "--help"], env={"COLUMNS": "200"})
        assert said.exit_code == 0 and all(each in said.stdout for each in options if each.startswith("--")), command
