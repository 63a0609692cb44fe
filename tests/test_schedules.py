"""The schedules that ship are well-formed, and call `comreadv retrain` with options that it has."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

import comreadv

ROOT = Path(__file__).parent.parent
SCHEDULES = ROOT / "docs" / "schedules"
PLACE = "/home/you/comreadv"  # what a person replaces by the project's folder
COMMAND = re.compile(r"\.venv/bin/(comreadv retrain(?: --[a-z]+)*)")
PAGE = (ROOT / "docs" / "fresh.md").read_text(encoding="utf-8")


def text(name: str) -> str:
    return (SCHEDULES / name).read_text(encoding="utf-8")


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd tells capitals apart
    parser.read_string(text(name))
    return parser


def workflow() -> dict:
    return YAML(typ="safe", pure=True).load(text("github-workflow.yml"))


def is_schedule(line: str) -> bool:
    """Tell whether a cron schedule is five numbers or stars, each within its range."""
    ranges = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
    fields = line.split()
    return len(fields) == 5 and all(
        field == "*" or (field.isdecimal() and low <= int(field) <= high)
        for field, (low, high) in zip(fields, ranges, strict=True)
    )


@pytest.mark.parametrize("name", ["comreadv-retrain.service", "crontab", "github-workflow.yml"])
def test_every_schedule_calls_the_one_command_with_options_that_it_has(name: str) -> None:
    (called,) = COMMAND.findall(text(name))
    said = CliRunner().invoke(comreadv.app, ["retrain", "--help"], env={"COLUMNS": "200"})
    assert said.exit_code == 0
    for option in re.findall(r"--[a-z]+", called):
        assert option in said.stdout


def test_the_options_and_schedules_that_the_page_names_are_there() -> None:
    retrain, drift = (
        CliRunner().invoke(comreadv.app, [name, "--help"], env={"COLUMNS": "200"}).stdout
        for name in ("retrain", "drift")
    )
    assert {"--platform", "--back", "--webhook", "--live"} <= set(re.findall(r"--[a-z]+", PAGE))
    for called, options in re.findall(r"`comreadv (retrain|drift)([^`]*)`", PAGE):
        for option in re.findall(r"--[a-z]+", options):
            assert option in (retrain if called == "retrain" else drift), (called, option)
    files = {file.name for file in SCHEDULES.iterdir()}
    assert files == {"comreadv-retrain.service", "comreadv-retrain.timer", "crontab", "github-workflow.yml"}
    for name in re.findall(r"docs/schedules/([\w.-]*\w)", PAGE):
        assert any(file.startswith(name) for file in files), name


def test_the_service_runs_once_in_the_project_and_the_timer_makes_up_for_what_it_missed() -> None:
    service = unit("comreadv-retrain.service")["Service"]
    assert service["Type"] == "oneshot" and service["WorkingDirectory"] == PLACE
    assert service["ExecStart"] == f"{PLACE}/.venv/bin/comreadv retrain"
    timer = unit("comreadv-retrain.timer")
    assert (timer["Timer"]["OnCalendar"], timer["Timer"]["Persistent"]) == ("daily", "true")
    assert timer["Timer"]["RandomizedDelaySec"] and timer["Install"]["WantedBy"] == "timers.target"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_finds_nothing_wrong_with_the_units_as_the_page_installs_them(tmp_path: Path) -> None:
    program = tmp_path / ".venv/bin/comreadv"
    program.parent.mkdir(parents=True)
    program.symlink_to(Path(sys.executable).with_name("comreadv"))
    for kind in ("service", "timer"):
        file = tmp_path / f"comreadv-retrain.{kind}"
        file.write_text(text(file.name).replace(PLACE, str(tmp_path)))
    units = [tmp_path / f"comreadv-retrain.{kind}" for kind in ("service", "timer")]
    answer = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True)
    assert "comreadv" not in answer.stdout + answer.stderr
    assert answer.returncode == 0, answer.stderr


def test_the_cron_line_has_five_fields_and_absolute_paths_and_keeps_a_log() -> None:
    (line,) = (line for line in text("crontab").splitlines() if not line.startswith("#"))
    fields = line.split(maxsplit=5)
    assert is_schedule(" ".join(fields[:5]))
    program = f"{PLACE}/.venv/bin/comreadv"
    assert fields[5] == f"cd {PLACE} && {program} retrain >> {PLACE}/data/retrain.log 2>&1"
    assert "%" not in line  # which cron takes for a new line
    assert text("crontab").endswith("\n")  # or cron leaves the last line out


def test_the_workflow_is_scheduled_alone_and_keeps_the_fingerprints() -> None:
    loaded = workflow()
    (schedule,) = loaded["on"]["schedule"]
    assert is_schedule(schedule["cron"]) and "workflow_dispatch" in loaded["on"]
    assert loaded["concurrency"] == {"group": "comreadv-retrain", "cancel-in-progress": False}
    assert loaded["permissions"] == {"contents": "write"}
    steps = loaded["jobs"]["retrain"]["steps"]
    runs = [step["run"].strip() for step in steps if "run" in step]
    assert runs[:2] == ["make setup", ".venv/bin/comreadv retrain"]
    assert "git add fingerprints/*.json" in runs[2] and "git push" in runs[2]
    after = steps[[step.get("run") for step in steps].index(runs[1]) + 1 :]
    assert all(step["if"] == "always()" for step in after)  # a platform that failed costs the others nothing
    restored, saved = (step["with"] for step in steps if "cache/" in step.get("uses", ""))
    assert restored["path"] == saved["path"] and {"data", "models", "dvc.lock"} <= set(saved["path"].split())


def test_the_cron_line_works_without_a_terminal_and_with_nothing_on_the_path(tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "data").mkdir()
    (tmp_path / "params.yaml").write_text(
        "{scale: laptop, collect: {}, pairing: {}, train: {}, attack: {}, evaluate: {confidence: 0.95},"
        " paper: {dataset: {}, train: {}, attack: {}}, dataset: {name: sample},"
        " platforms: {jpeg-25: {adapter: codec, codec: 'jpeg:25'}}}"
    )
    command = text("crontab").splitlines()[-1].split(maxsplit=5)[5].replace(PLACE, str(tmp_path))
    for said in ("first seen: JPEG 25", "jpeg-25: unchanged"):
        answer = subprocess.run(
            ["/bin/sh", "-c", command],
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        log = (tmp_path / "data/retrain.log").read_text()
        assert (answer.returncode, answer.stdout, answer.stderr) == (0, b"", b""), log
        assert said in log.splitlines()[-1]
