"""Every command has help and stands in docs/commands.md; mistakes are answered without a traceback."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import comreadv
from collect.round_trip import Outcome

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
TABLE = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(comreadv.app).commands  # type: ignore[attr-defined]


def run(command: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    program, *rest = shlex.split(command)
    environment = os.environ | {"COLUMNS": "200"}
    return subprocess.run([BIN / program, *rest], cwd=folder, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_option_has_help_and_stands_in_the_table(name: str) -> None:
    command = COMMANDS[name]
    assert command.help and len(command.help) > 20
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{name}: {parameter.name} has no help"
    assert f"| `comreadv {name}" in TABLE


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, comreadv; "
        "print([name for name in ('torch', 'playwright', 'matplotlib', 'skimage') if name in sys.modules])"
    )
    assert run(f'python -c "{code}"').stdout.strip() == "[]"


@pytest.mark.parametrize("program", ["typer collect", "typer collect run", "python -m collect", "comreadv collect"])
def test_four_ways_to_collect_answer_an_unknown_platform_with_those_that_exist(program: str) -> None:
    answer = run(f"{program} --platform nosuch")
    assert answer.returncode != 0
    said = " ".join(answer.stderr.replace("│", " ").split())
    assert "No platform 'nosuch'" in said
    assert "douban, weibo, facebook" in said
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("program", ["typer collect", "typer collect run", "python -m collect", "comreadv collect"])
def test_four_ways_to_collect_show_the_same_help(program: str) -> None:
    answer = run(f"{program} --help")
    assert answer.returncode == 0
    assert "--platform" in answer.stdout and "--limit" in answer.stdout


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("pairing --platform weibo", "comreadv prepare"),
        ("train --platform weibo", "comreadv pairing --platform weibo"),
        ("attack --platform weibo", "comreadv prepare"),
        ("evaluate --platform weibo", "comreadv attack --platform weibo"),
        ("results", "dvc repro"),
        ("collect --platform weibo --origin weibo.com", "give a full address"),
        ("collect --platform jpeg-75 --origin http://127.0.0.1:9", "nothing to point at"),
        ("sandbox nosuch", "douban"),
        ("login --platform jpeg-75", "needs no sign-in"),
        ("collect --platform weibo --cleanup --limit 3", "leave out --limit and --mosaic"),
        ("collect --platform weibo --cleanup --mosaic", "leave out --limit and --mosaic"),
    ],
)
def test_a_step_too_early_or_a_wrong_word_says_what_to_do(tmp_path: Path, monkeypatch, command: str, said: str) -> None:
    for name in ("params.yaml", "fingerprints"):
        (tmp_path / name).symlink_to(ROOT / name)
    if "collect" in command:
        (tmp_path / "data" / "images").mkdir(parents=True)
        (tmp_path / "data" / "images" / "manifest.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    assert said in refusal(command)


@pytest.mark.parametrize("command", ["collect --platform weibo", "retrain", "drift --platform weibo --write"])
def test_a_folder_that_can_not_be_made_is_told_without_talk_of_room(tmp_path: Path, monkeypatch, command: str) -> None:
    for name in ("params.yaml", "fingerprints"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "data").touch()
    monkeypatch.chdir(tmp_path)
    said = refusal(command)
    assert "can't be written" in said and "See that its folder is there and that you may write to it" in said
    assert "Make room" not in said


def test_commands_that_collect_suggests_go_to_the_same_site(tmp_path: Path, monkeypatch) -> None:
    for name in ("params.yaml", "fingerprints"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "data" / "images").mkdir(parents=True)
    (tmp_path / "data" / "images" / "manifest.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    counts = {"images": 2, "uploaded": 2, "downloaded": 1, "files": 2, "complete": 1, "rejected": 0, "missing": 1}
    outcome = Outcome(site="live", **counts, fingerprint={"codec": {"format": "PNG"}})
    monkeypatch.setattr("collect.round_trip.round_trip", lambda *_, **__: outcome)
    answer = CliRunner().invoke(comreadv.app, shlex.split("collect --platform weibo --live --origin https://a.example"))
    said = " ".join(answer.stderr.split())
    assert "`comreadv collect --platform weibo --live --origin https://a.example` again" in said
    assert "`comreadv drift --platform weibo --live --origin https://a.example --write`" in said


def test_a_mistake_in_the_settings_stops_every_command_before_it_does_anything(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text().replace("  epochs:", "  epoch:", 1))
    monkeypatch.chdir(tmp_path)
    for name in sorted(set(COMMANDS) - {"sandbox"}):
        needs_platform = any(parameter.name == "platform" for parameter in COMMANDS[name].params)
        command = name + " photo.jpg" * (name == "protect") + " --platform weibo" * needs_platform
        assert "train.epoch: unknown key" in refusal(command), name
    assert [file.name for file in tmp_path.iterdir()] == ["params.yaml"]


def refusal(command: str) -> str:
    """Run a command in this process; return what it says on refusing, with no traceback."""
    answer = CliRunner().invoke(comreadv.app, shlex.split(command))
    assert answer.exit_code == 1, answer.output
    assert isinstance(answer.exception, SystemExit)
    return " ".join(answer.stderr.split())
