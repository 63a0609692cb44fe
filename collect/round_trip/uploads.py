"""One run of a collector: reconcile what was cut off, download, upload, until nothing is left."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from collect.errors import RateLimited, TransientError, UploadRejected
from collect.ledger.ledger import Ledger
from collect.ledger.models import NO_LONGER_SHOWN, PUBLISHED_STATES, Upload
from collect.ledger.rate_limit import RateLimit
from collect.ledger.workers import Heartbeat
from collect.platform import Batch, Platform, Session, Site
from collect.retry import with_jitter
from collect.round_trip.downloads import Downloads
from collect.round_trip.original import Original, changed
from collect.round_trip.quarantine import Quarantine
from collect.round_trip.reconcile import match_remote_ids
from collect.round_trip.retry_policy import MAX_RATE_LIMITS, MAX_TRIES, RetryPolicy
from collect.round_trip.thumbnail_index import ThumbnailIndex
from collect.store import LIVE_STATE
from collect.terminal import terminal
from collect.thumbnails import LOOKALIKE_DISTANCE, Thumbnail, distances
from params import unwritable

logger = logging.getLogger(__name__)


class Uploader:
    """One run over a set of files, by sha256.

    Args:
        max_rate_limits: how often in a row a site may turn us away, without any progress, before the run ends.
    """

    def __init__(
        self,
        platform: Platform,
        session: Session,
        ledger: Ledger,
        heartbeat: Heartbeat,
        files: Mapping[str, Path],
        *,
        max_rate_limits: int = MAX_RATE_LIMITS,
    ) -> None:
        self.platform = platform
        self.session = session
        self.ledger = ledger
        self.heartbeat = heartbeat
        self.files = files
        self.uploaded = 0  # by this run
        self.left_over = 0  # images that it leaves to the next one
        self.unresolved: set[str] = set()  # the batches that only a run with all their images can reconcile
        self._size = platform.batch_size
        self._sent: set[int] = set()
        self._partly_shown: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()  # how often an image did not go up while others of its batch did
        self._thumbnails = ThumbnailIndex(files)
        self._downloads = Downloads(platform, session, ledger, files, self._thumbnails, self._show_progress)
        self._quarantine = Quarantine(platform, ledger)
        self._rate_limit = rate_limit_of(platform, ledger)
        self.retry_policy = RetryPolicy(platform, heartbeat, self._rate_limit, max_rate_limits=max_rate_limits)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=terminal(),
        )
        ledger.plan(files)
        self._downloads.replan_lost()

    @property
    def downloaded(self) -> int:
        """Count what this run has downloaded."""
        return self._downloads.downloaded

    @property
    def verdict(self) -> TransientError | None:
        """Return why the run has ended before its time, though what is there can be exported."""
        return self._quarantine.verdict

    def remaining(self) -> list[str]:
        """List what is to go up yet, in the order of the plan; what failed before comes last."""
        planned = [each for each in self.ledger.planned() if each in self.files and each not in self._quarantine]
        return sorted(planned, key=lambda each: self._failed[each] + self._quarantine.failures[each])

    def run(self, limit: int | None) -> None:
        """Reconcile, download and upload until nothing is left; wait for what other collectors have leases on."""
        total = min(len(self.remaining()), limit or len(self.files))
        with self._progress:
            for what in ("upload", "download"):
                self._progress.add_task(f"{self.platform.name}: {what}", total=total)
            while True:
                before = self.uploaded + self.downloaded
                try:
                    self.reconcile()
                    self._downloads.fetch_all()
                    if not self._send(limit):
                        if limit is None and self.ledger.busy_elsewhere(self.files):
                            self.heartbeat.rest(0.5)
                        elif not self._downloads.fetch_absent():
                            break
                except TransientError as trouble:
                    if self.uploaded + self.downloaded > before:
                        self.retry_policy.reset()
                    self._size = max(1, self._size // 2)
                    self.retry_policy.wait_or_raise(trouble)
                else:
                    self.retry_policy.reset()
            left = self._quarantine.finish(self.files, self.uploaded)
        if left and not self.ledger.uploads(*PUBLISHED_STATES):
            raise left[0]
        self.left_over = len(left)

    def reconcile(self) -> None:
        """Find out, from what the platform shows, what became of the attempts that were cut off."""
        unknown = self.ledger.claim_unknown()
        for title in self.unresolved & unknown.keys():
            self.ledger.release(unknown.pop(title))
        if unknown and isinstance(self.platform, Site) and self.platform.is_live:
            self.retry_policy.wait_as_asked()
            # from now: nobody knows when the last request of an attempt was
            self.heartbeat.rest(self.platform.album_lag_s)
        for title, uploads in unknown.items():
            self._reconcile_batch(title, uploads)

    def _reconcile_batch(self, title: str, uploads: Sequence[Upload]) -> None:
        published = [each for each in uploads if each.remote_id] or uploads  # others of the batch did not go up
        known = {each.position or 0: each.remote_id for each in uploads if each.remote_id}
        batch = Batch(title, [self.files.get(each.sha256, Path()) for each in uploads], known=known)
        shown = self.session.read_back(batch)
        if not shown:  # else a run that a captcha has ended would begin anew with the batch that it met it in
            self._size = min(self._size, max(1, len(uploads) // 2))
        gone: dict[int, str] = {}
        if self.platform.atomic and 0 < len(shown) < len(published):
            self._partly_shown[title] += 1
            if self._partly_shown[title] < MAX_TRIES:
                raise TransientError(f"{self.platform.name}: the site shows {len(shown)} of {len(published)} images.")
            gone = {each.position or 0: NO_LONGER_SHOWN for each in published}
            if not self.platform.ordered:
                if not all(each.sha256 in self.files for each in uploads):
                    self._leave_unresolved(title, uploads, f"{len(shown)} of its {len(published)} images")
                    return
                shown = match_remote_ids(self.platform, self.session, batch, list(shown.values()))
        self.ledger.record_outcome(uploads, shown, refused=gone)
        self.ledger.release([each for each in uploads if each.sha256 not in self.files])  # for whoever has them
        self.uploaded += sum(each.id in self._sent and each.position in shown for each in uploads)
        self._show_progress()

    def _leave_unresolved(self, title: str, uploads: Sequence[Upload], shown: str) -> None:
        """Leave a batch to a run that has its images, by which alone they can be told apart."""
        self.unresolved.add(title)
        self.ledger.release(uploads)
        logger.warning(
            "%s: of %r, which was cut off, the site shows %s, and nobody can tell which without them. Run what sent it"
            " (collect or evaluate) again, or delete it on the site.",
            self.platform.name,
            title,
            shown,
        )

    def _send(self, limit: int | None) -> bool:
        """Upload the next batch; tell whether there was one."""
        room = self._size if limit is None else min(self._size, limit - self.uploaded)
        images = self._distinct(self._quarantine.choose_next(self.remaining()), room)
        if not images or self.verdict:
            return False
        self.retry_policy.wait_as_asked()
        while self._rate_limit and (wait := self._rate_limit.take(len(images))):
            self.heartbeat.rest(with_jitter(wait) if wait < 60 else wait)
        if uploads := self.ledger.claim_uploads(images):  # else another collector was quicker
            self._upload(uploads)
        return True

    def _upload(self, uploads: Sequence[Upload]) -> None:
        """Upload a batch that we have claimed; raise TransientError unless all of it went up, or one was refused."""
        self._sent |= {each.id for each in uploads}
        self._size = min(self._size, len(uploads))  # a smaller batch after trouble is one that is smaller than this
        with self._outgoing({each.sha256: self.files[each.sha256] for each in uploads}) as files:
            batch = Batch(
                uploads[0].batch or "", files, lambda remote_ids: self.ledger.record_remote_ids(uploads, remote_ids)
            )
            try:
                shown = self.session.upload(batch)
                self.ledger.record_outcome(uploads, shown)
            except UploadRejected as refused:
                self.ledger.record_outcome(uploads, {})
                self._quarantine.note_refusal(uploads[refused.position].sha256, str(refused), self.uploaded)
                return
            except TransientError as trouble:
                alone = len(uploads) == 1 and not isinstance(trouble, RateLimited)
                if alone and self._quarantine.note_failure(uploads[0].sha256, trouble, self.uploaded):
                    self.retry_policy.reset()
                raise
        self.uploaded += len(shown)
        self._quarantine.note_success(self.uploaded)
        self._show_progress()
        if failed := [each.sha256 for each in uploads if each.position not in shown]:
            self._failed.update(failed)
            raise TransientError(f"{self.platform.name}: {len(shown)} of {len(uploads)} images went up.")
        self._size = min(self.platform.batch_size, 2 * self._size)

    @contextmanager
    def _outgoing(self, images: Mapping[str, Path]) -> Iterator[list[Path]]:
        """Give the files names of their own in the batch, by which the site's answers are told apart."""
        files = list(images.values())
        for sha256, file in images.items():
            try:
                is_the_same = Original.of(file).sha256 == sha256
            except OSError:
                is_the_same = False
            if not is_the_same:
                raise changed(file)
        with ExitStack() as stack:
            try:
                LIVE_STATE.mkdir(parents=True, exist_ok=True)
                folder = stack.enter_context(TemporaryDirectory(prefix="outgoing-", dir=LIVE_STATE))
                named = [Path(folder, f"{position:03}{file.suffix}") for position, file in enumerate(files)]
                for file, name in zip(files, named, strict=True):
                    with suppress(OSError):  # another disk
                        name.hardlink_to(file.resolve())
                    if not name.exists():
                        shutil.copyfile(file, name)
            except OSError as error:
                raise unwritable(LIVE_STATE, error) from None
            yield named

    def _distinct(self, candidates: Sequence[str], room: int) -> list[str]:
        """Choose the next files; where only content tells them apart, none that look alike."""
        if self.platform.ordered:
            return list(candidates[: max(0, room)])
        chosen: list[str] = []
        thumbnails: list[Thumbnail] = []
        for each in candidates:
            if len(chosen) >= room:
                break
            own = self._thumbnails.of(each)
            if (distances(own, thumbnails) > LOOKALIKE_DISTANCE).all():
                chosen.append(each)
                thumbnails.append(own)
        return chosen

    def _show_progress(self) -> None:
        for task, done in zip(self._progress.tasks, (self.uploaded, self.downloaded), strict=False):
            self._progress.update(task.id, completed=done)


def rate_limit_of(platform: Platform, ledger: Ledger) -> RateLimit | None:
    """Return the rate limit of a ledger's account on a live site; None elsewhere."""
    if not (isinstance(platform, Site) and platform.is_live):
        return None
    account = {key: ledger.key[key] for key in ("site", "account")} | {"platform": platform.name}  # whatever its row
    return RateLimit(ledger.engine, account, per_minute=platform.per_minute, per_day=platform.per_day)
