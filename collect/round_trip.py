"""Round trips: images up to a platform and down again, exactly once each, and the export of them."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from collect import sandbox
from collect.export import LIVE_STATE, Original, export, stored
from collect.ledger import Ledger, Upload, open_ledger
from collect.platform import Batch, Platform, Refused, Session, load
from params import Params, UserError


@dataclass(frozen=True)
class Outcome:
    """How a run ended: counts of images."""

    site: str  # sandbox or live
    images: int
    uploaded: int  # in this run
    downloaded: int  # in this run
    complete: int  # with a round trip, from this run or an earlier one
    rejected: int
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
) -> Outcome:
    """Send images to a platform, fetch what it serves, and export the files with a manifest to `out`.

    What the ledger knows already is not sent again. `limit`: send at most so many new images. Raises
    UserError; whatever was done before stays done, and the next run goes on from there.
    """
    row = params.platform(name)
    with ExitStack() as stack:
        stack.enter_context(alone(name))
        if origin is None and row.site == "sandbox" and row.adapter in sandbox.names():
            state = LIVE_STATE / "sandbox" / name
            origin = stack.enter_context(sandbox.serve(row.adapter, state=state))
        platform = load(name, row, origin=origin)
        books = stack.enter_context(open_ledger(params.collect.ledger))
        session = stack.enter_context(platform.session(LIVE_STATE / "local" / name))
        site = "live" if platform.is_live else "sandbox"
        ledger = Ledger(
            books,
            platform=name,
            site=site,
            account=session.account,
            generation=generation,
        )
        try:
            uploaded, downloaded = _Run(platform, session, ledger, originals).run(limit)
        except KeyboardInterrupt:
            Console(stderr=True).print(f"{name}: stopped. What is done stays done; run again to go on.")
            raise
        seen = export(out, name, platform, ledger, originals, generation)
        downloads, rejections = ledger.downloads(platform.rendition), ledger.rejections()
    return Outcome(
        site=site,
        images=len(originals),
        uploaded=uploaded,
        downloaded=downloaded,
        complete=sum(each.sha256 in downloads for each in originals),
        rejected=sum(each.sha256 in rejections for each in originals),
        fingerprint=seen,
    )


class _Run:
    """One run over a set of images."""

    def __init__(self, platform: Platform, session: Session, ledger: Ledger, originals: Sequence[Original]) -> None:
        self.platform = platform
        self.session = session
        self.ledger = ledger
        self.paths = {each.sha256: each.path for each in originals}

    def run(self, limit: int | None) -> tuple[int, int]:
        """Settle, upload and download; return how many went up and how many came down."""
        self.ledger.plan(self.paths)
        self._settle()
        planned = [each for each in self.ledger.uploads("planned") if each.sha256 in self.paths][:limit]
        up = [planned[at : at + self.platform.batch_size] for at in range(0, len(planned), self.platform.batch_size)]
        uploaded = downloaded = 0
        with _progress() as progress:
            sending = progress.add_task(f"{self.platform.name}: upload", total=len(planned))
            fetching = progress.add_task(f"{self.platform.name}: download", total=len(planned))
            downloaded += self._download(progress, fetching)
            for uploads in up:
                uploaded += self._upload(uploads)
                progress.advance(sending, len(uploads))
                downloaded += self._download(progress, fetching)
        return uploaded, downloaded

    def _settle(self) -> None:
        for title, uploads in self.ledger.doubt().items():
            known = {each.position or 0: each.remote_id for each in uploads if each.remote_id}
            files = [self.paths.get(each.sha256, Path()) for each in uploads]
            self.ledger.settle(uploads, self.session.read_back(Batch(title, files, known=known)))

    def _upload(self, uploads: list[Upload]) -> int:
        title = self.ledger.send(uploads)
        files = [self.paths[each.sha256] for each in uploads]
        batch = Batch(title, files, lambda position, remote_id: self.ledger.receive(uploads[position], remote_id))
        try:
            self.ledger.confirm(uploads, self.session.upload(batch))
        except Refused as refused:
            self.ledger.reject(uploads, refused.position, str(refused))
            rest = uploads[: refused.position] + uploads[refused.position + 1 :]
            return self._upload(rest) if rest else 0
        return len(uploads)

    def _download(self, progress: Progress, task: TaskID) -> int:
        rendition = self.platform.rendition
        for download in self.ledger.downloads(rendition).values():
            if not stored(download.sha256).exists():
                self.ledger.forget(download)
        waiting = [each for each in self.ledger.without(rendition) if each.sha256 in self.paths]
        for each in waiting:
            assert each.remote_id is not None
            part = LIVE_STATE / "incoming" / f"{self.platform.name}-{each.id}"
            part.parent.mkdir(parents=True, exist_ok=True)
            address = self.session.download(each.remote_id, part)
            kept = stored(hashlib.sha256(part.read_bytes()).hexdigest())
            kept.parent.mkdir(parents=True, exist_ok=True)
            part.replace(kept)
            self.ledger.keep(each, rendition, address, kept)
            progress.advance(task)
        return len(waiting)


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Hold the platform's lock: a second collector would take this one's open attempts for lost ones."""
    LIVE_STATE.mkdir(parents=True, exist_ok=True)
    with (LIVE_STATE / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{name} is being collected from by another process. Wait for it, or stop it.") from None
        yield


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
