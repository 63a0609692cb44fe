"""Make `typer collect --platform douban` work to the letter.

Stock Typer adds an imported app under the fixed name `run`, so that only `typer collect run
--platform douban` would work. Typer imports the package before it resolves the command: imported
from there, this module lets the `typer` command fall back to `run` when the first word is none of
its commands.
"""

from typing import Any

from typer.cli import TyperCLIGroup

_resolve_command = TyperCLIGroup.resolve_command


def resolve_command(group: TyperCLIGroup, ctx: Any, args: list[str]) -> Any:
    if group.get_command(ctx, args[0]) is None and group.get_command(ctx, "run") is not None:
        args = ["run", *args]
    return _resolve_command(group, ctx, args)


TyperCLIGroup.resolve_command = resolve_command  # type: ignore[method-assign, assignment]
