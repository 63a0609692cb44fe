"""Round trips: images up to a platform and down again, exactly once each, and the export of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from collect import sandbox
from collect.ledger.ledger import Ledger
from collect.ledger.rate_limit import AT_HAND, DAY
from collect.ledger.transactions import open_ledger
from collect.ledger.workers import at_work
from collect.locks import held
from collect.platform import Platform, Session, Site, load
from collect.round_trip.export import export
from collect.round_trip.mosaic_packing import packed
from collect.round_trip.uploads import Run
from collect.store import LIVE_STATE, Original
from params import Params, UserError, unwritable

LIVE = "COMREADV_LIVE"
NOTICE = 5.0  # seconds between saying what will happen on a real site and doing it


@dataclass(frozen=True)
class Outcome:
    """How a run ended: counts of images."""

    site: str  # sandbox or live
    images: int
    uploaded: int  # files, in this run; a mosaic is one
    downloaded: int  # files, in this run
    files: int  # of those that the images go up in, how many have, in this run or an earlier one
    complete: int  # with a round trip, from this run or an earlier one
    rejected: int
    missing: int  # files of all renditions that did not go up or come down, or not right, for the next run to try
    fingerprint: dict[str, Any]


@contextmanager
def opened(
    name: str, params: Params, *, origin: str | None = None, live: bool = False
) -> Iterator[tuple[Platform, Session]]:
    """Open a platform of params.yaml, its sandbox served for as long when that is what its row says.

    Raises UserError for a real site unless `live`, or COMREADV_LIVE in the environment, asks for it; for a sandbox
    where `live` does.
    """
    row = params.platform(name)
    origin = origin or row.origin
    with ExitStack() as stack:
        try:
            LIVE_STATE.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(LIVE_STATE, error) from None
        if origin is None and row.site == "sandbox" and row.adapter in sandbox.names():
            state = LIVE_STATE / "sandbox" / name
            origin = stack.enter_context(sandbox.serve(row.adapter, state=state))
        platform = load(name, row, origin=origin)
        if platform.is_live and not is_asked_for(live):
            rehearsal = " `site: sandbox` in its row of params.yaml rehearses on this computer."
            raise UserError(
                f"{name} is the real site, with your account: ask for it by --live, or, of evaluate, transfer and dvc,"
                f" by {LIVE}=1 in the environment.{rehearsal * (row.adapter in sandbox.names())}"
            )
        if live:
            refuse_sandbox(name, platform)
        yield platform, stack.enter_context(platform.session(LIVE_STATE / "local" / name))


def round_trip(
    name: str,
    params: Params,
    originals: Sequence[Original],
    out: Path,
    *,
    generation: int,
    origin: str | None = None,
    limit: int | None = None,
    mosaic: bool = False,
    live: bool = False,
) -> Outcome:
    """Send images to a platform, fetch what it serves, and export the files with a manifest to `out`.

    What the ledger knows already is not sent again. `limit`: send at most so many new files. `mosaic`: send many
    images as one file. `live`: a real site may be talked to. Raises UserError; whatever was done before stays done,
    and the next run goes on from there.
    """
    with ExitStack() as stack:
        engine = stack.enter_context(open_ledger(params.collect.ledger))
        heart = stack.enter_context(at_work(engine))  # until the browser is closed, with all that it sends
        platform, session = stack.enter_context(opened(name, params, origin=origin, live=live))
        if mosaic and platform.rendition != platform.renditions[0]:
            raise UserError(
                f"--mosaic needs {name}'s rendition {platform.renditions[0]}: {platform.rendition} is made smaller, and"
                " what is made smaller can't be cut."
            )
        site = "live" if platform.is_live else "sandbox"
        ledger = Ledger(
            engine,
            platform=name,
            site=site,
            account=session.account,
            generation=generation,
            collector=heart.id,
        )
        files = packed(originals, ledger, platform, mosaic=mosaic)
        run = Run(platform, session, ledger, heart, files)
        if isinstance(platform, Site) and platform.is_live:
            announce(name, platform, session.account, min(len(run.left()), limit or len(files)))
        try:
            run.run(limit)
        except KeyboardInterrupt:
            Console(stderr=True).print(f"{name}: stopped. What is done stays done; run again to go on.")
            raise
        finally:
            ledger.release()
        with alone(out):
            exported = export(out, name, platform, ledger, originals, generation)
        if run.verdict:
            raise run.verdict
    return Outcome(
        site=site,
        images=len(originals),
        uploaded=run.uploaded,
        downloaded=run.downloaded,
        files=len(ledger.arrived() & files.keys()),
        complete=exported.complete,
        rejected=exported.rejected,
        missing=exported.missing + run.left_over,
        fingerprint=exported.fingerprint,
    )


def is_asked_for(live: bool) -> bool:
    """Tell whether the real site has been asked for, by --live or in the environment."""
    return live or os.environ.get(LIVE) == "1"


def refuse_sandbox(name: str, platform: Platform) -> None:
    """Raise UserError where the real site is asked for, and the platform is on this computer."""
    if isinstance(platform, Site) and not platform.is_live:
        raise UserError(
            f"{name} is not the real site. Leave --live out, or set `site: live` in its row of params.yaml and give no"
            " address on this computer."
        )


def announce(name: str, site: Site, account: str, count: int) -> None:
    """Say what is about to happen on a real site, and leave time to stop it; `name`: of its row in params.yaml."""
    minutes = max(count / site.per_minute, (count / site.per_day - AT_HAND) * DAY)
    said = (
        f"{name}, the real site: {count} files go up to the account {account}, {site.audience},"
        f" about {site.per_minute:g} a minute and at most {site.per_day} a day: {_spoken(minutes)} or more."
        f" `comreadv collect --platform {name} --live --cleanup` deletes them again. Ctrl-C stops; going on in"
        f" {NOTICE:g} seconds."
    )
    Console(stderr=True).print(Text(said), soft_wrap=True)
    time.sleep(NOTICE)


def _spoken(minutes: float) -> str:
    if minutes < 90:
        return f"{max(1, round(minutes))} minutes"
    return f"{minutes / 60:.0f} hours" if minutes < 48 * 60 else f"{minutes / 60 / 24:.0f} days"


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Hold a folder's lock, for as long as it takes to write it."""
    with held(LIVE_STATE / f"{out.name}.lock"):
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            yield
        except OSError as error:
            raise unwritable(error.filename or out, error, "read or written") from None
