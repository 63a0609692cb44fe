"""Imports run one way: attack → train → pairing → collect; all may import params; nothing imports comreadv."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ORDER = ["attack", "train", "pairing", "collect"]
MODULES = sorted(file for package in ORDER for file in (ROOT / package).rglob("*.py"))
BROWSER, TENSORS = {"playwright"}, {"torch", "torchvision"}


def imported(file: Path) -> set[str]:
    """List the top-level names that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names.add((node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_run_one_way(file: Path) -> None:
    package = file.relative_to(ROOT).parts[0]
    later = set(ORDER[: ORDER.index(package)])
    assert not imported(file) & (later | {"comreadv"})


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(ROOT)))
def test_only_collect_knows_the_browser_and_it_knows_no_tensors(file: Path) -> None:
    package = file.relative_to(ROOT).parts[0]
    assert not imported(file) & (TENSORS if package == "collect" else BROWSER | {"requests"})


def test_sandbox_and_adapters_share_no_code() -> None:
    for file in (ROOT / "collect" / "platforms").glob("*.py"):
        assert "sandbox" not in imported_paths(file), file
    for file in (ROOT / "collect" / "sandbox").rglob("*.py"):
        assert not {"platforms", "platform"} & imported_paths(file), file


def imported_paths(file: Path) -> set[str]:
    """List every part of the dotted names that a file imports."""
    parts: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            parts |= {part for alias in node.names for part in alias.name.split(".")}
        elif isinstance(node, ast.ImportFrom):
            parts |= set((node.module or "").split(".")) | {alias.name for alias in node.names}
    return parts
