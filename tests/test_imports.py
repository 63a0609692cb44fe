"""Imports run one way and in no circle; what a folder shows to other packages stands in its __init__."""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from imports import ORDER, ROOT, circles, graph, imports, is_package, modules

OURS = {name: file for name, file in modules().items() if name.partition(".")[0] in ORDER}
BROWSER, TENSORS = {"playwright"}, {"torch", "torchvision"}
MOST_MODULES = 20  # of a folder
MOST_NAMES = 7  # that a folder shows to others


def imported(file: Path) -> set[str]:
    """List the top-level names that a file imports."""
    return {each.module.partition(".")[0] for each in imports(file)}


def test_imports_run_one_way() -> None:
    for module, file in OURS.items():
        later = set(ORDER[: ORDER.index(module.partition(".")[0])])
        assert not imported(file) & (later | {"comreadv"}), module


def test_only_collect_knows_the_browser_and_it_knows_no_tensors() -> None:
    for module, file in OURS.items():
        known = TENSORS if module.partition(".")[0] == "collect" else BROWSER | {"requests"}
        assert not imported(file) & known, module


def test_sandbox_and_adapters_share_no_code() -> None:
    for module, file in OURS.items():
        parts = {part for each in imports(file) for part in (*each.module.split("."), each.name)}
        if module.startswith("collect.platforms"):
            assert "sandbox" not in parts, file
        elif module.startswith("collect.sandbox"):
            assert not {"platforms", "platform"} & parts, file


def test_no_files_import_each_other_in_a_circle() -> None:
    assert [" → ".join(circle) for circle in circles(graph())] == []


def test_no_folders_import_each_other_in_a_circle() -> None:
    arrows = defaultdict(set)
    for module, others in graph().items():
        if not module.endswith("__main__"):  # a program, which nothing imports
            arrows[room(module)] |= {room(other) for other in others} - {room(module)}
    rooms = {name: frozenset(others) for name, others in arrows.items()}
    assert [" → ".join(circle) for circle in circles(rooms)] == []


def room(module: str) -> str:
    """Name the folder in which a module lies, or the module itself where it lies directly in its package."""
    return ".".join(module.split(".")[:2])


def test_no_folder_has_more_modules_than_a_reader_takes_in() -> None:
    counts = Counter(file.parent for file in OURS.values() if not file.name.startswith("__"))
    assert {str(folder.relative_to(ROOT)): count for folder, count in counts.items() if count > MOST_MODULES} == {}


def shown(package: str) -> set[str]:
    """Return the names that a folder's __init__ shows to others, its __all__."""
    for node in ast.parse(modules()[package].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def test_other_packages_reach_no_further_than_a_folders_init() -> None:
    assert [said for module in sorted(OURS) for said in reaching_past(module)] == []


def reaching_past(module: str) -> Iterator[str]:
    """Name what a module takes from another package but for its modules and what its folders show."""
    for each in imports(OURS[module]):
        package, *inner = each.module.split(".")
        if package not in ORDER or package == module.partition(".")[0]:
            continue
        if not inner:
            if f"{package}.{each.name}" not in modules():
                yield f"{module} takes {each.name} from {package}"
        elif is_package(each.module):
            if each.name not in shown(each.module):
                yield f"{module} takes {each.name} from {each.module}, which does not show it"
        elif len(inner) > 1:
            yield f"{module} takes {each.name} from {each.module}, past its folder's __init__"


def test_a_folder_shows_few_names_and_has_them() -> None:
    for package in filter(is_package, OURS):
        tree = ast.parse(modules()[package].read_text(encoding="utf-8"))
        bound = {name for node in tree.body for name in names_bound_by(node)}
        assert shown(package) <= bound, package
        assert len(shown(package)) <= MOST_NAMES, package


def names_bound_by(node: ast.stmt) -> set[str]:
    """Return the names that a statement of a module gives it."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in node.names}
    if isinstance(node, ast.Assign):
        return {ast.unparse(each) for each in node.targets}
    return {name} if (name := getattr(node, "name", None)) else set()


def test_no_private_name_is_imported() -> None:
    for module, file in OURS.items():
        private = [each for each in imports(file) if each.name and each.name.startswith("_")]
        assert [each for each in private if each.module.partition(".")[0] in ORDER] == [], module
