"""dvc.yaml names what decides a stage's result: what its command runs is covered by a dep, or left out for a reason."""

from pathlib import Path
from typing import Any

import pytest
from imports import ORDER, ROOT, graph, modules, reached_from
from ruamel.yaml import YAML

MOST_FILES = 20  # of code by name; the rest are folders

# What decides nothing of what a stage makes: how it is asked for, told, written and spread over machines.
WITHOUT_EFFECT = (
    "params.py",
    "attack/named_class.py",
    "collect/command_line.py",
    "collect/database_engine.py",
    "collect/errors.py",
    "collect/files.py",
    "collect/locks.py",
    "collect/redaction.py",
    "collect/store.py",
    "collect/terminal.py",
    "train/cluster",
    "train/device.py",
)
# What a stage runs and must not depend on, and why.
ADAPTER_ALONE = "nothing but the adapter may have images uploaded again"
READS = "it reads files of ours by it, and makes nothing by it"
COLLECTORS = ("browser", "codecs", "dataset", "ledger", "platforms", "round_trip", "sandbox")
MODULES = ("fingerprint", "images", "platform", "retry", "thumbnails", "webhook")
COLLECTS = {f"collect/{name}": ADAPTER_ALONE for name in (*COLLECTORS, *(f"{each}.py" for each in MODULES))}
OF_COLLECT = {name: READS for name in COLLECTS if name not in ("collect/codecs", "collect/thumbnails.py")} | {
    f"collect/codecs/{name}": READS
    for name in ("chain.py", "encoders", "headers", "lossless_crop.py", "quantisation.py")
}
LEFT_OUT = {
    "prepare": {},
    "collect": COLLECTS,
    "pairing": {
        **OF_COLLECT,
        "pairing/folders.py": "two folders by hand are no stage",
        "pairing/matching.py": "the same",
        "pairing/shared_database.py": "what is published is a copy",
    },
    "train": {"collect/images.py": READS, "collect/thumbnails.py": READS, "train/retraining": READS},
    "attack": {"collect/dataset": READS, "collect/images.py": READS, "collect/thumbnails.py": READS, "pairing": READS},
    "universal": {
        "collect/dataset": READS,
        "collect/images.py": READS,
        "collect/thumbnails.py": READS,
        "pairing": READS,
    },
    "evaluate": {**COLLECTS, "pairing/database.py": READS},
    "transfer": {**COLLECTS, "pairing/database.py": READS},
    "bench": {"collect/images.py": READS, "collect/thumbnails.py": READS, "pairing/database.py": READS},
    "report": {"collect": READS, "pairing": READS, "train": READS},
}


def stages() -> dict[str, dict[str, Any]]:
    found = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return {name: stage.get("do", stage) for name, stage in found.items()}


def code(stage: dict[str, Any]) -> list[str]:
    """Return a stage's deps that are code, an adapter standing for all of them."""
    return [each.split("$")[0] for each in stage["deps"] if each.split("/")[0] in ORDER]


def command(stage: dict[str, Any]) -> str:
    """Name the module of a stage's command."""
    program, first, *rest = stage["cmd"].split()
    if program == "python":
        return f"{rest[0]}.__main__"
    (found,) = (module for module in modules() if module.endswith(f".commands.{first}"))
    return found


def is_below(file: str, places: list[str]) -> bool:
    return any(file == place or file.startswith(f"{place.rstrip('/')}/") for place in places)


@pytest.mark.parametrize("name", sorted(LEFT_OUT))
def test_a_stage_runs_no_code_that_no_dep_covers(name: str) -> None:
    stage = stages()[name]
    run = [modules()[each] for each in reached_from(command(stage))]
    files = {file.relative_to(ROOT).as_posix() for file in run if file.name not in ("__init__.py", "__main__.py")}
    spared = [*code(stage), *WITHOUT_EFFECT, *LEFT_OUT[name], *(f"{package}/commands" for package in ORDER)]
    assert sorted(file for file in files if not is_below(file, spared)) == []


def test_every_stage_is_looked_at() -> None:
    assert set(stages()) == set(LEFT_OUT)


def test_deps_of_code_are_there_and_nearly_all_are_folders() -> None:
    named = [each for stage in stages().values() for each in code(stage)]
    assert [each for each in named if not (ROOT / each).exists()] == []
    assert sum((ROOT / each).is_file() for each in named) + named.count("collect/platforms/") <= MOST_FILES


def test_no_stage_depends_on_commands() -> None:
    commands = [file for file in graph() if ".commands." in file]
    assert commands
    for name, stage in stages().items():
        for module in commands:
            assert not is_below(modules()[module].relative_to(ROOT).as_posix(), code(stage)), name


def test_a_change_of_one_commands_file_retrains_nothing() -> None:
    train = code(stages()["train"])
    for package in ORDER:
        assert not any(is_below(f"{package}/commands/{package}.py", [each]) for each in train)
    assert not any(Path(each).name in ("bench", "cluster", "retraining") for each in train)
