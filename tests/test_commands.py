"""Every command has help and stands in the README; mistakes are answered without a traceback."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import comreadv

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(comreadv.app).commands  # type: ignore[attr-defined]


def run(command: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    program, *rest = shlex.split(command)
    environment = os.environ | {"COLUMNS": "200"}
    return subprocess.run([BIN / program, *rest], cwd=folder, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_option_has_help_and_stands_in_the_readme(name: str) -> None:
    command = COMMANDS[name]
    assert command.help and len(command.help) > 20
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{name}: {parameter.name} has no help"
    assert f"`comreadv {name}" in README


def test_the_readme_names_no_command_that_is_not_there() -> None:
    import re

    assert set(re.findall(r"comreadv ([a-z]+)", README)) <= set(COMMANDS)


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
        ("comreadv pairing --platform weibo", "comreadv prepare"),
        ("comreadv train --platform weibo", "comreadv pairing --platform weibo"),
        ("comreadv attack --platform weibo", "comreadv prepare"),
        ("comreadv evaluate --platform weibo", "comreadv attack --platform weibo"),
        ("comreadv results", "dvc repro"),
        ("comreadv collect --platform weibo --origin weibo.com", "give a full address"),
        ("comreadv collect --platform jpeg-75 --origin http://127.0.0.1:9", "nothing to point at"),
        ("comreadv sandbox nosuch", "douban"),
        ("comreadv login --platform jpeg-75", "needs no sign-in"),
    ],
)
def test_a_step_too_early_or_a_wrong_word_says_what_to_do(tmp_path: Path, command: str, said: str) -> None:
    for name in ("params.yaml", "fingerprints"):
        (tmp_path / name).symlink_to(ROOT / name)
    if "collect" in command:
        (tmp_path / "data" / "images").mkdir(parents=True)
        (tmp_path / "data" / "images" / "manifest.jsonl").touch()
    answer = run(command, tmp_path)
    assert answer.returncode != 0
    assert said in " ".join(answer.stderr.split())
    assert "Traceback" not in answer.stderr


def test_a_mistake_in_the_settings_stops_every_command_before_it_does_anything(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text().replace("  epochs:", "  epoch:", 1))
    for name in ("params", "prepare", "collect --platform weibo", "train --platform weibo", "report", "results"):
        answer = run(f"comreadv {name}", tmp_path)
        assert answer.returncode != 0
        assert "train.epoch: unknown key" in " ".join(answer.stderr.split()), name
    assert [file.name for file in tmp_path.iterdir()] == ["params.yaml"]
