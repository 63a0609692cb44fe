"""The command `status`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

import params
from collect.command_line import PARAMS, ParamsOption

if TYPE_CHECKING:
    from attack.status import Status


def status(
    platform: Annotated[
        str | None, typer.Option(help="A platform of params.yaml, on or switched off; all that are on unless given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON alone.")] = False,
    params_file: ParamsOption = PARAMS,
) -> None:
    """Tell for each platform its codec, last probe, pairs, ComModel and success, what is stale, and how to mend that.

    Talks to no platform and writes nothing. Reads fingerprints, the ledger, data/pairs, the database of
    pairing.database, models and reports.
    """
    import json
    from dataclasses import asdict
    from datetime import UTC, datetime

    settings = params.load(params_file)

    from attack.status import examine

    now = datetime.now(UTC)
    found = [examine(name, settings, now) for name in ([platform] if platform else settings.platforms)]
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=2, ensure_ascii=False))
    else:
        typer.echo("\n\n".join("\n".join(_lines(each)) for each in found))


def _lines(status: Status) -> Iterator[str]:
    """Lay a platform's state out for a terminal of 80 columns."""
    yield f"{status.platform} ({status.site}{'' if status.on else ', switched off'})"
    for name, said in (
        ("codec", _numbered(status.codec, status.generation)),
        ("probed", status.last_probe.replace("T", " ").replace("+00:00", " UTC") if status.last_probe else "never"),
        ("pairs", _pairs(status)),
        ("ComModel", _model(status)),
        ("success", _success(status)),
    ):
        yield f"  {name:<10}{said}"
    for each in status.stale:
        yield f"  {'stale':<10}{each.what}"
        yield f"  {'':<10}→ {each.command}"
    if not status.stale:
        yield f"  {'stale':<10}nothing"


def _numbered(said: str | None, generation: int | None) -> str:
    return "unknown" if said is None else f"{said}; generation {generation}"


def _pairs(status: Status) -> str:
    pairs = status.pairs
    if pairs is None:
        return "none"
    splits = ", ".join(f"{pairs[split]} {split}" for split in ("train", "validation", "test"))
    return _numbered(f"{splits}; {pairs['rejected']} rejected", pairs["generation"])


def _model(status: Status) -> str:
    model = status.model
    if model is None:
        return "none"
    codec = f"{model['software'] or model['codec']} identified" if model["identified"] else "codec not identified"
    return _numbered(f"{model['name']}, MAE {model['mae']:.2f}, {codec}", model["generation"])


def _success(status: Status) -> str:
    found = status.success
    if found is None:
        return "not evaluated"
    interval = f"{100 * found['low']:.0f}–{100 * found['high']:.0f}"
    said = f"{100 * found['success_after']:.0f} % ({interval}) of {found['images']}"
    return _numbered(f"{said}, by {found['attack']} at ε={found['eps']}", found["generation"])
