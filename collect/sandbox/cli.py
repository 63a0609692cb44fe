"""The command `comreadv sandbox`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from collect.sandbox import names, serve

app = typer.Typer()


@app.command()
def sandbox(
    name: Annotated[str, typer.Argument(help=f"The platform: {', '.join(names())}.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 0,
    codec: Annotated[
        str | None,
        typer.Option(help="Serve files by this codec instead of the platform's own, e.g. jpeg:50."),
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="Keep what is received in this folder; a temporary one unless given.")
    ] = None,
) -> None:
    """Serve a platform's sandbox on this computer until Ctrl-C."""
    import tempfile
    import threading

    with tempfile.TemporaryDirectory(prefix="comreadv-sandbox-") as temporary:
        try:
            with serve(name, state=state or Path(temporary), port=port, codec=codec) as origin:
                typer.echo(f"{name} sandbox: {origin}  (what it has received: {origin}/sandbox/)  Ctrl-C ends it.")
                threading.Event().wait()
        except KeyboardInterrupt:
            typer.echo("Ended.")
