"""The command `sandbox`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from collect.sandbox import names, serve
from collect.sandbox.faults import ALL_FAULTS, FAULTS, parse_rates


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
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=RATE",
            help=f"Fail at this rate, 0 to 1; can be given again. Names: {', '.join([ALL_FAULTS, *FAULTS])}."
            " Weibo knows no block, and answers 418.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Draw the faults from this seed.")] = 0,
    negotiates: Annotated[
        str | None, typer.Option(help="Serve files by this codec to those whose Accept names its type, e.g. webp:80.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=0, help="Answer 418 for more than so many files a minute; no limit unless given.")
    ] = None,
) -> None:
    """Serve a platform's sandbox on this computer until Ctrl-C."""
    import tempfile
    import threading

    with tempfile.TemporaryDirectory(prefix="comreadv-sandbox-") as temporary:
        try:
            with serve(
                name,
                state=state or Path(temporary),
                port=port,
                codec=codec,
                faults=parse_rates(fault or []),
                seed=seed,
                limit=limit,
                negotiates=negotiates,
            ) as origin:
                typer.echo(f"{name} sandbox: {origin}  (what it has received: {origin}/sandbox/)  Ctrl-C ends it.")
                threading.Event().wait()
        except KeyboardInterrupt:
            typer.echo("Ended.")
