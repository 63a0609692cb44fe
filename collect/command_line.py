"""What the commands of all packages share: finding them, their options, and how they tell what went wrong."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from collect.terminal import log_to_terminal
from params import UserError

PACKAGES = ("collect", "pairing", "train", "attack")  # in the order of the pipeline, and of the help

PlatformOption = Annotated[str, typer.Option("--platform", help="A platform of params.yaml.")]
OriginOption = Annotated[
    str | None, typer.Option("--origin", help="Talk to the site at this address, such as http://127.0.0.1:8001.")
]
LiveOption = Annotated[bool, typer.Option("--live", help="Talk to the real site, with your account.")]
ParamsOption = Annotated[Path, typer.Option("--params", help="The settings.")]
PARAMS = Path("params.yaml")


class Command(TyperCommand):
    """A command that tells a UserError in words alone, with exit code 1; any other exception is a bug and shows."""

    def invoke(self, ctx: Any) -> Any:
        log_to_terminal()
        try:
            return super().invoke(ctx)
        except UserError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(1) from None


def command_line(*commands: Callable[..., None], **settings: Any) -> typer.Typer:
    """Make a program of commands, each named after its function; of one alone, that command itself."""
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, **settings)
    for command in commands:
        app.command(command.__name__, cls=Command)(command)
    return app


def commands_of(package: str) -> list[Callable[..., None]]:
    """List a package's commands: in each file of its folder commands/, the function of the file's name."""
    spec = find_spec(f"{package}.commands")
    folders = spec.submodule_search_locations if spec and spec.submodule_search_locations else ()
    names = sorted(file.stem for folder in folders for file in Path(folder).glob("[!_]*.py"))
    return [getattr(import_module(f"{package}.commands.{name}"), name) for name in names]
