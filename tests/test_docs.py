"""What README, CONTRIBUTING and docs name is there: links and their headings, paths, commands and modules."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer

import comreadv

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("README*.md"), ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")])
COMMANDS = typer.main.get_command(comreadv.app).commands  # type: ignore[attr-defined]
FOLDERS = ("collect", "pairing", "train", "attack", "tests", "docs", "fingerprints", ".ci")
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`]+`", re.DOTALL)
PATH = re.compile(rf"(?<![\w./<>~-])(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./<>*-]*")
FILE = re.compile(r"(?<![\w./<>*-])[A-Za-z]\w*\.(?:py|yaml|toml)(?![\w.])")  # of the top, or alone in its folder
COMMAND = re.compile(r"(?<![\w/])comreadv ([a-z]+)")
MODULE = re.compile(r"python -m ([a-z_.]+)")


def anchors(page: Path) -> set[str]:
    """Return the names by which GitHub links to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text(page), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.fixture(params=PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def page(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in LINK.findall(text(page)):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_relative_to(ROOT) and target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_path_in_code_is_in_the_project(page: Path) -> None:
    for code in CODE.findall(text(page)):
        for path in PATH.findall(code):
            pattern = re.sub(r"<[^>]*>", "*", path).rstrip(".")
            assert any(ROOT.glob(pattern.rstrip("/"))), path
        for name in FILE.findall(code):
            assert (ROOT / name).exists() or any(ROOT.glob(f"*/**/{name}")), name


def test_every_command_and_module_is_there(page: Path) -> None:
    assert set(COMMAND.findall(text(page))) <= set(COMMANDS)
    for module in MODULE.findall(text(page)):
        assert find_spec(module), module


def test_the_readme_leads_to_every_page_and_the_languages_to_each_other() -> None:
    links = set(LINK.findall(text(ROOT / "README.md")))
    assert {str(page.relative_to(ROOT)) for page in PAGES} - links == {"README.md"}
    assert "README.md" in LINK.findall(text(ROOT / "README.zh-CN.md"))
