"""One run of a collector: settle what is in doubt, download, upload, until nothing is left."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from collect.errors import RateLimited, TransientError, UploadRejected
from collect.ledger.ledger import GONE, HERE, Ledger
from collect.ledger.models import Upload
from collect.ledger.rate_limit import RateLimit
from collect.ledger.workers import Heartbeat
from collect.platform import Batch, Platform, Session, Site
from collect.retry import with_jitter
from collect.round_trip.downloads import TRIES, Downloads
from collect.round_trip.original import Original, changed
from collect.round_trip.quarantine import Quarantine
from collect.round_trip.reconcile import told_apart
from collect.round_trip.retry_policy import WITH_A_SITE, RetryPolicy
from collect.round_trip.thumbnails import ALIKE, Thumbnail, ThumbnailIndex, distances
from collect.store import LIVE_STATE
from params import unwritable


class Uploader:
    """One run over a set of files, by sha256.

    Args:
        patience: how often in a row a site may turn us away, without any progress, before the run ends.
    """

    def __init__(
        self,
        platform: Platform,
        session: Session,
        ledger: Ledger,
        heart: Heartbeat,
        files: Mapping[str, Path],
        *,
        patience: int = WITH_A_SITE,
    ) -> None:
        self.platform = platform
        self.session = session
        self.ledger = ledger
        self.heart = heart
        self.files = files
        self.uploaded = 0  # by this run
        self.left_over = 0  # images that it has set aside for the next one
        self._size = platform.batch_size
        self._sent: set[int] = set()
        self._looks = ThumbnailIndex(files)
        self._fetch = Downloads(platform, session, ledger, files, self._looks, self._show)
        self._partly: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()  # how often an image did not go up while others of its batch did
        self._aside = Quarantine(platform, ledger)
        self.in_doubt: set[str] = set()  # the batches that only a run with all their images can settle
        self._rate = rate_of(platform, ledger)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self.patience = RetryPolicy(platform, heart, self.progress.console, self._rate, with_a_site=patience)
        ledger.plan(files)
        self._fetch.plan_what_is_lost()

    @property
    def downloaded(self) -> int:
        """Count what this run has downloaded."""
        return self._fetch.downloaded

    def left(self) -> list[str]:
        """List what is to go up yet, in the order of the plan; what failed before comes last."""
        left = [each for each in self.ledger.planned() if each in self.files and each not in self._aside]
        return sorted(left, key=lambda each: self._failed[each] + self._aside.failures[each])

    def run(self, limit: int | None) -> None:
        """Settle, download and upload until nothing is left; wait for what other collectors have in hand."""
        total = min(len(self.left()), limit or len(self.files))
        with self.progress:
            for what in ("upload", "download"):
                self.progress.add_task(f"{self.platform.name}: {what}", total=total)
            while True:
                before = self.uploaded + self.downloaded
                try:
                    self.settle()
                    self._fetch.all()
                    if not self._send(limit):
                        if limit is None and self.ledger.busy_elsewhere(self.files):
                            self.heart.rest(0.5)
                        elif not self._fetch.bring_home():
                            break
                except TransientError as trouble:
                    if self.uploaded + self.downloaded > before:
                        self.patience.renew()
                    self._size = max(1, self._size // 2)
                    self.patience.bear(trouble)
                else:
                    self.patience.renew()
            left = self._aside.end(self.files, self.progress.console, self.uploaded)
        if left and not self.ledger.uploads(*HERE):
            raise left[0]
        self.left_over = len(left)

    @property
    def verdict(self) -> TransientError | None:
        """Return why the run has ended before its time, though what is there can be exported."""
        return self._aside.verdict

    def settle(self) -> None:
        """Find out, from what the platform shows, what became of the attempts that were cut off."""
        doubt = self.ledger.doubt()
        for title in self.in_doubt & doubt.keys():
            self.ledger.release(doubt.pop(title))
        if doubt and isinstance(self.platform, Site) and self.platform.is_live:
            self.patience.rest_as_asked()
            self.heart.rest(self.platform.album_lag_s)  # from now: nobody knows when the last request of an attempt was
        for title, uploads in doubt.items():
            published = [each for each in uploads if each.remote_id] or uploads  # others of the batch did not go up
            known = {each.position or 0: each.remote_id for each in uploads if each.remote_id}
            files = [self.files.get(each.sha256, Path()) for each in uploads]
            batch = Batch(title, files, known=known)
            shown = self.session.read_back(batch)
            if not shown:  # else a run that a captcha has ended would begin anew with the batch that it met it in
                self._size = min(self._size, max(1, len(uploads) // 2))
            gone: dict[int, str] = {}
            if self.platform.atomic and 0 < len(shown) < len(published):
                self._partly[title] += 1
                if self._partly[title] < TRIES:
                    raise TransientError(
                        f"{self.platform.name}: the site shows {len(shown)} of {len(published)} images."
                    )
                if not self.platform.ordered and not all(each.sha256 in self.files for each in uploads):
                    self._leave(title, uploads, f"{len(shown)} of its {len(published)} images")
                    continue
                if not self.platform.ordered:
                    shown = told_apart(self.platform, self.session, batch, list(shown.values()))
                gone = {each.position or 0: GONE for each in published}
            self.ledger.settle(uploads, shown, refused=gone)
            self.ledger.release([each for each in uploads if each.sha256 not in self.files])  # for whoever has them
            self.uploaded += sum(each.id in self._sent and each.position in shown for each in uploads)
            self._show()

    def _leave(self, title: str, uploads: Sequence[Upload], shown: str) -> None:
        """Leave a batch in doubt to a run that has its images, by which alone they can be told apart."""
        self.in_doubt.add(title)
        self.ledger.release(uploads)
        said = (
            f"{self.platform.name}: of {title!r}, which was cut off, the site shows {shown}, and nobody can tell which"
            " without them. Run what sent it (collect or evaluate) again, or delete it on the site."
        )
        self.progress.console.print(Text(said), soft_wrap=True)

    def _send(self, limit: int | None) -> bool:
        """Upload the next batch; tell whether there was one."""
        room = self._size if limit is None else min(self._size, limit - self.uploaded)
        chosen = self._different(self._aside.choose(self.left()), room)
        if not chosen or self._aside.verdict:
            return False
        self.patience.rest_as_asked()
        while self._rate and (wait := self._rate.take(len(chosen))):
            self.heart.rest(with_jitter(wait) if wait < 60 else wait)
        uploads = self.ledger.claim(chosen)
        if not uploads:
            return True  # another collector was quicker
        self._sent |= {each.id for each in uploads}
        title = uploads[0].batch or ""
        self._size = min(self._size, len(uploads))  # a smaller batch after trouble is one that is smaller than this
        with self._outgoing({each.sha256: self.files[each.sha256] for each in uploads}) as files:
            batch = Batch(title, files, lambda remote_ids: self.ledger.receive(uploads, remote_ids))
            try:
                shown = self.session.upload(batch)
                self.ledger.settle(uploads, shown)
            except UploadRejected as refused:
                self.ledger.settle(uploads, {})
                self._aside.note_refusal(uploads[refused.position].sha256, str(refused), self.uploaded)
                return True
            except TransientError as trouble:
                alone = len(uploads) == 1 and not isinstance(trouble, RateLimited)
                if alone and self._aside.note_failure(uploads[0].sha256, trouble, self.uploaded):
                    self.patience.renew()
                raise
        self.uploaded += len(shown)
        self._aside.went_up(self.uploaded)
        self._show()
        if failed := [each.sha256 for each in uploads if each.position not in shown]:
            self._failed.update(failed)
            raise TransientError(f"{self.platform.name}: {len(shown)} of {len(uploads)} images went up.")
        self._size = min(self.platform.batch_size, 2 * self._size)
        return True

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

    def _different(self, candidates: Sequence[str], room: int) -> list[str]:
        """Choose the next files; where only content tells them apart, none that look alike."""
        if self.platform.ordered:
            return list(candidates[: max(0, room)])
        chosen: list[str] = []
        looks: list[Thumbnail] = []
        for each in candidates:
            if len(chosen) >= room:
                break
            own = self._looks.of(each)
            if (distances(own, looks) > ALIKE).all():
                chosen.append(each)
                looks.append(own)
        return chosen

    def _show(self) -> None:
        for task, done in zip(self.progress.tasks, (self.uploaded, self.downloaded), strict=False):
            self.progress.update(task.id, completed=done)


def rate_of(platform: Platform, ledger: Ledger) -> RateLimit | None:
    """Return the rate of a ledger's account on a live site; None elsewhere."""
    if not (isinstance(platform, Site) and platform.is_live):
        return None
    account = {key: ledger.key[key] for key in ("site", "account")} | {"platform": platform.name}  # whatever its row
    return RateLimit(ledger.engine, account, per_minute=platform.per_minute, per_day=platform.per_day)
