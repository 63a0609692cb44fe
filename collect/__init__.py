"""Images in, round trips out: upload to a platform in a real browser, download what it makes of them."""

import sys

from collect.commands.collect import app

if "typer.cli" in sys.modules:
    from collect import typer_command as typer_command

__all__ = ["app"]
