"""Images in, round trips out: upload to a platform in a real browser, download what it makes of them."""

import sys

from collect.command_line import command_line
from collect.commands import collect

if "typer.cli" in sys.modules:
    from collect import typer_command as typer_command

app = command_line(collect.collect)
