"""What imports what, read from the syntax trees, for the tests of the structure."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
ORDER = ("attack", "train", "pairing", "collect")  # each may import those after it


class Import(NamedTuple):
    """One name that a file imports: `from module import name`, or `import module` without a name."""

    module: str
    name: str | None


@cache
def modules() -> dict[str, Path]:
    """Map the dotted names of our modules and packages to their files."""
    found = {"params": ROOT / "params.py", "comreadv": ROOT / "comreadv.py"}
    for package in ORDER:
        for file in (ROOT / package).rglob("*.py"):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def is_package(module: str) -> bool:
    """Tell whether a module is a folder's __init__.py."""
    return modules()[module].name == "__init__.py"


@cache
def imports(file: Path, *, when_run: bool = False) -> tuple[Import, ...]:
    """List what a file imports, anywhere in it; `when_run` leaves out what only a type checker sees."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    unseen = {
        id(inner)
        for node in ast.walk(tree)
        if when_run and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: list[Import] = []
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.Import):
            found += [Import(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{file}: relative import"
            found += [Import(node.module, alias.name) for alias in node.names]
    return tuple(found)


def target(found: Import) -> str | None:
    """Return the module of ours that an import reaches, through the __init__ of a folder that only hands a name on."""
    module, name = found
    if name and f"{module}.{name}" in modules():
        return f"{module}.{name}"
    if module not in modules():
        return None
    if name and is_package(module):
        for handed_on in imports(modules()[module]):
            if handed_on.name == name and handed_on.module != module:
                return target(handed_on) or module
    return module


@cache
def graph(*, when_run: bool = False) -> dict[str, frozenset[str]]:
    """Map each module to those that it imports."""
    return {
        module: frozenset(
            reached for each in imports(file, when_run=when_run) if (reached := target(each)) and reached != module
        )
        for module, file in modules().items()
    }


def reached_from(module: str) -> set[str]:
    """Return a module and all that it imports when it runs, and what those import."""
    found, waiting = {module}, [module]
    while waiting:
        for each in graph(when_run=True)[waiting.pop()] - found:
            found.add(each)
            waiting.append(each)
    return found


def circles(arrows: Mapping[str, frozenset[str]]) -> Iterator[list[str]]:
    """Find a way back to each node that has one, without going on past the first circle it is in."""
    for start in arrows:
        ways, seen = [[start]], {start}
        while ways:
            way = ways.pop()
            for each in arrows.get(way[-1], ()):
                if each == start:
                    yield [*way, start]
                    ways.clear()
                    break
                if each not in seen:
                    seen.add(each)
                    ways.append([*way, each])
