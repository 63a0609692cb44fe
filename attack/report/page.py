"""The report: one page without a network, put together from the sections of the folder sections/."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import jinja2

from attack.report.evaluated import Evaluated
from collect.files import write_atomically
from params import Params

SECTIONS = Path(__file__).parent / "sections"


def write_page(params: Params, page: Path) -> list[str]:
    """Write the page about every platform that is on and has been evaluated; return those that have not."""
    platforms = [Evaluated(name, params, page.parent) for name in params.platforms]
    evaluated = [each for each in platforms if each.exists]
    missing = [each.name for each in platforms if not each.exists]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template("page.html.j2").render(
        params=params,
        missing=missing,
        sections=list(_filled(environment, "of_all", params, page.parent)),
        platforms=[
            {"name": each.name, "site": each.site, "sections": list(_filled(environment, "of_platform", each))}
            for each in evaluated
        ],
    )
    write_atomically(page, html)
    return missing


def _filled(environment: jinja2.Environment, kind: str, *given: Any) -> Iterator[str]:
    """Give the HTML of the sections of a kind that have anything to tell, in their order."""
    for section in sorted(_sections(), key=lambda section: section.PLACE):
        if hasattr(section, kind) and (variables := getattr(section, kind)(*given)) is not None:
            yield environment.from_string(section.TEMPLATE.lstrip("\n")).render(variables)


def _sections() -> list[ModuleType]:
    names = sorted(file.stem for file in SECTIONS.glob("[!_]*.py"))
    return [import_module(f"attack.report.sections.{name}") for name in names]
