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

from collect.collectors import Heart
from collect.fetch import TRIES, Fetch
from collect.ledger import GONE, HERE, Ledger
from collect.look import ALIKE, Look, Looks, distances
from collect.originals import LIVE_STATE
from collect.patience import WITH_A_SITE, Patience
from collect.platform import Batch, Interrupted, Platform, Refused, Session, Site, Stayed
from collect.rates import Rate, jitter
from collect.remains import told_apart
from params import UserError


class Run:
    """One run over a set of files, by sha256.

    Args:
        patience: how often in a row a site may turn us away, without any progress, before the run ends.
    """

    def __init__(
        self,
        platform: Platform,
        session: Session,
        ledger: Ledger,
        heart: Heart,
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
        self._size = platform.batch_size
        self._sent: set[int] = set()
        self._looks = Looks(files)
        self._fetch = Fetch(platform, session, ledger, files, self._looks, self._show)
        self._partly: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()  # how often an image did not go up while others of its batch did
        self._stayed: Counter[str] = Counter()  # how often the page stayed with an image alone in its batch
        self._up_before: dict[str, int] = {}  # how many were up when it did so first
        self._aside: dict[str, Stayed] = {}  # those with which it did too often
        self._rate = rate_of(platform, ledger)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self.patience = Patience(platform, heart, self.progress.console, self._rate, with_a_site=patience)
        ledger.plan(files)
        self._fetch.plan_what_is_lost()

    @property
    def downloaded(self) -> int:
        """Count what this run has downloaded."""
        return self._fetch.downloaded

    def left(self) -> list[str]:
        """List what is to go up yet, in the order of the plan; what failed before comes last."""
        left = [each for each in self.ledger.planned() if each in self.files and each not in self._aside]
        return sorted(left, key=lambda each: self._failed[each] + self._stayed[each])

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
                            self._judge_what_stayed()
                            return
                except Interrupted as trouble:
                    if self.uploaded + self.downloaded > before:
                        self.patience.renew()
                    self._size = max(1, self._size // 2)
                    self.patience.bear(trouble)
                else:
                    self.patience.renew()

    def settle(self) -> None:
        """Find out, from what the platform shows, what became of the attempts that were cut off."""
        doubt = self.ledger.doubt()
        if doubt and isinstance(self.platform, Site) and self.platform.is_live:
            self.patience.rest_as_asked()
            self.heart.rest(self.platform.lag)  # from now: nobody knows when the last request of an attempt was
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
                    raise Interrupted(f"{self.platform.name}: the site shows {len(shown)} of {len(published)} images.")
                if not self.platform.ordered:
                    shown = told_apart(self.platform, self.session, batch, list(shown.values()))
                gone = {each.position or 0: GONE for each in published}
            self.ledger.settle(uploads, shown, refused=gone)
            self.uploaded += sum(each.id in self._sent and each.position in shown for each in uploads)
            self._show()

    def _send(self, limit: int | None) -> bool:
        """Upload the next batch; tell whether there was one."""
        room = self._size if limit is None else min(self._size, limit - self.uploaded)
        chosen = self._different(self.left(), room)
        if not chosen:
            return False
        self.patience.rest_as_asked()
        while self._rate and (wait := self._rate.take(len(chosen))):
            self.heart.rest(jitter(wait) if wait < 60 else wait)
        uploads = self.ledger.claim(chosen)
        if not uploads:
            return True  # another collector was quicker
        self._sent |= {each.id for each in uploads}
        title = uploads[0].batch or ""
        self._size = min(self._size, len(uploads))  # a smaller batch after trouble is one that is smaller than this
        with self._outgoing([self.files[each.sha256] for each in uploads]) as files:
            batch = Batch(title, files, lambda remote_ids: self.ledger.receive(uploads, remote_ids))
            try:
                shown = self.session.upload(batch)
                self.ledger.settle(uploads, shown)
            except Refused as refused:
                self.ledger.reject(uploads, refused.position, str(refused))
                return True
            except Stayed as stayed:
                if len(uploads) == 1:
                    self._note_that_it_stayed(uploads[0].sha256, stayed)
                raise
        self.uploaded += len(shown)
        self._show()
        if failed := [each.sha256 for each in uploads if each.position not in shown]:
            self._failed.update(failed)
            raise Interrupted(f"{self.platform.name}: {len(shown)} of {len(uploads)} images went up.")
        self._size = min(self.platform.batch_size, 2 * self._size)
        return True

    def _note_that_it_stayed(self, sha256: str, stayed: Stayed) -> None:
        self._up_before.setdefault(sha256, self.uploaded)
        self._stayed[sha256] += 1
        if self._stayed[sha256] == TRIES:
            self._aside[sha256] = stayed
            if self._is_to_blame(sha256):
                self.patience.renew()

    def _is_to_blame(self, sha256: str) -> bool:
        """Tell whether others have gone up since the page first stayed with an image."""
        return self.uploaded > self._up_before[sha256]

    def _judge_what_stayed(self) -> None:
        """Reject what the page stayed with, again and again, while others went up; leave the rest for the next run."""
        planned = set(self.ledger.planned())
        for sha256, stayed in self._aside.items():
            if sha256 not in planned:  # the site shows it after all
                continue
            if self._is_to_blame(sha256) and stayed.said and (uploads := self.ledger.claim([sha256])):
                self.ledger.reject(uploads, 0, stayed.said)
            elif not self.ledger.uploads(*HERE):  # it is not about one image
                raise stayed
            else:
                said = f"{self.files[sha256]} is left for the next run. {stayed.message}"
                self.progress.console.print(Text(said), soft_wrap=True)

    @contextmanager
    def _outgoing(self, files: Sequence[Path]) -> Iterator[list[Path]]:
        """Give the files names of their own in the batch, by which the site's answers are told apart."""
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
                raise UserError(
                    f"{LIVE_STATE} can't be written: {error.strerror}. Make room, then run again."
                ) from None
            yield named

    def _different(self, candidates: Sequence[str], room: int) -> list[str]:
        """Choose the next files; where only content tells them apart, none that look alike."""
        if self.platform.ordered:
            return list(candidates[: max(0, room)])
        chosen: list[str] = []
        looks: list[Look] = []
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


def rate_of(platform: Platform, ledger: Ledger) -> Rate | None:
    """Return the rate of a ledger's account on a live site; None elsewhere."""
    if not (isinstance(platform, Site) and platform.is_live):
        return None
    account = {key: ledger.key[key] for key in ("platform", "site", "account")}
    return Rate(ledger.engine, account, per_minute=platform.per_minute, per_day=platform.per_day)
