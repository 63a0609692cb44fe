"""Round trips: images up to a platform and down again, exactly once each, and the export of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collect.ledger.ledger import Ledger
from collect.ledger.transactions import open_ledger
from collect.ledger.workers import register_worker
from collect.locks import file_lock
from collect.platform import Site
from collect.round_trip.connect import announce, open_platform
from collect.round_trip.export import export
from collect.round_trip.mosaic_packing import files_to_send
from collect.round_trip.original import Original
from collect.round_trip.uploads import Uploader
from collect.store import LIVE_STATE
from params import Params, UserError, unwritable

logger = logging.getLogger(__name__)


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
        heartbeat = stack.enter_context(register_worker(engine))  # until the browser is closed, with all that it sends
        platform, session = stack.enter_context(open_platform(name, params, origin=origin, live=live))
        if mosaic and platform.rendition != platform.renditions[0]:
            raise UserError(
                f"--mosaic needs {name}'s rendition {platform.renditions[0]}: {platform.rendition} is made smaller, and"
                " what is made smaller can't be cut."
            )
        site = "live" if platform.is_live else "sandbox"
        key: dict[str, Any] = {"platform": name, "site": site, "account": session.account, "generation": generation}
        ledger = Ledger(engine, **key, collector=heartbeat.id)
        files = files_to_send(originals, ledger, platform, mosaic=mosaic)
        run = Uploader(platform, session, ledger, heartbeat, files)
        if isinstance(platform, Site) and platform.is_live:
            announce(name, platform, session.account, min(len(run.remaining()), limit or len(files)))
        try:
            run.run(limit)
        except KeyboardInterrupt:
            logger.info("%s: stopped. What is done stays done; run again to go on.", name)
            raise
        finally:
            ledger.release_all()
        with exclusive(out):
            exported = export(out, platform, ledger, originals)
        if run.verdict:
            raise run.verdict
    return Outcome(
        site=site,
        images=len(originals),
        uploaded=run.uploaded,
        downloaded=run.downloaded,
        files=len(ledger.published() & files.keys()),
        complete=exported.complete,
        rejected=exported.rejected,
        missing=exported.missing + run.left_over,
        fingerprint=exported.fingerprint,
    )


@contextmanager
def exclusive(out: Path) -> Iterator[None]:
    """Hold a folder's lock, for as long as it takes to write it."""
    with file_lock(LIVE_STATE / f"{out.name}.lock"):
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            yield
        except OSError as error:
            raise unwritable(error.filename or out, error, "read or written") from None
