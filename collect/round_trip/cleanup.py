"""Delete from a platform what this tool uploaded there, and only that."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from rich.progress import track
from sqlalchemy import select
from sqlalchemy.orm import Session

from collect.ledger.ledger import Ledger
from collect.ledger.models import PUBLISHED_STATES, Upload
from collect.ledger.transactions import open_ledger
from collect.ledger.workers import register_worker
from collect.round_trip.connect import open_platform
from collect.round_trip.uploads import Uploader
from collect.terminal import terminal
from params import Params, UserError


def cleanup(name: str, params: Params, *, origin: str | None = None, live: bool = False) -> int:
    """Delete what the ledger says is up in the account, of every generation; return how many images.

    Files that were downloaded stay. Trouble is waited out as in a run. Raises UserError; what is deleted is
    known, and a second run goes on from there.
    """
    with ExitStack() as stack:
        engine = stack.enter_context(open_ledger(params.collect.ledger))
        heartbeat = stack.enter_context(register_worker(engine))
        platform, session = stack.enter_context(open_platform(name, params, origin=origin, live=live))
        key = {"platform": name, "site": "live" if platform.is_live else "sandbox", "account": session.account}
        with Session(engine) as books:
            generations = books.scalars(select(Upload.generation).filter_by(**key).distinct()).all()
        count, unresolved = 0, set[str]()
        for generation in generations:
            ledger = Ledger(engine, **key, generation=generation, collector=heartbeat.id)
            if ledger.held_elsewhere():
                raise UserError(f"{name} is being collected from by another process. Wait for it, or stop it.")
            run = Uploader(platform, session, ledger, heartbeat, {})
            run.retry_policy.wait_as_asked()
            run.retry_policy.until_done(run.reconcile)
            unresolved |= run.unresolved
            batches = ledger.claim_deletions()
            for title, uploads in track(batches.items(), f"{name}: delete", console=terminal()):
                remote_ids = [each.remote_id or "" for each in uploads]
                run.retry_policy.until_done(partial(session.delete, remote_ids, title))
                ledger.record_deletions(uploads)
                count += sum(each.state in PUBLISHED_STATES for each in uploads)
        if unresolved:
            raise UserError(
                f"{name}: all is deleted but what is left of {', '.join(sorted(unresolved))}: delete that by hand."
            )
    return count
