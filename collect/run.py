"""One run of a collector: settle what is in doubt, download, upload, until nothing is left."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from collect.collectors import Heart
from collect.ledger import Arrival, Ledger
from collect.look import ALIKE, Look, distance, look, match, shows
from collect.originals import LIVE_STATE, stored
from collect.platform import (
    Batch,
    Challenged,
    Interrupted,
    PageChanged,
    Platform,
    Refused,
    Session,
    Site,
    Trouble,
    TurnedAway,
)
from collect.rates import Rate, back_off, jitter
from collect.tables import Download, Upload
from params import UserError

PATIENCE = 12  # troubles in a row, without any progress, after which a run ends with the last one
PATIENCE_WITH_A_SITE = 36  # that turns us away: with the longest waits, a day
PATIENCE_WITH_A_PAGE = 3  # that is not as the adapter expects
AT_ONCE = 32  # files that are downloaded and written down together
TRIES = 3  # at downloading something that is not what went up


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
        patience: int = PATIENCE_WITH_A_SITE,
    ) -> None:
        self.platform = platform
        self.session = session
        self.ledger = ledger
        self.heart = heart
        self.files = files
        self.patience = patience
        ledger.plan(files)
        self._plan_what_is_lost()
        self.uploaded = 0  # by this run
        self.downloaded = 0
        self._size = platform.batch_size
        self._sent: set[int] = set()
        self._forgotten: set[int] = set()
        self._looks: dict[str, Look] = {}
        self._tries: Counter[int] = Counter()
        self._partly: Counter[str] = Counter()
        self._rate: Rate | None = None
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        if isinstance(platform, Site) and platform.is_live:
            account = {key: ledger.key[key] for key in ("platform", "site", "account")}
            self._rate = Rate(ledger.engine, account, per_minute=platform.per_minute, per_day=platform.per_day)

    def left(self) -> list[str]:
        """List what is to go up yet, in the order of the plan."""
        return [sha256 for sha256 in self.ledger.planned() if sha256 in self.files]

    def run(self, limit: int | None) -> None:
        """Settle, download and upload until nothing is left; wait for what other collectors have in hand."""
        total = min(len(self.left()), limit or len(self.files))
        with self.progress:
            for what in ("upload", "download"):
                self.progress.add_task(f"{self.platform.name}: {what}", total=total)
            failures = 0
            while True:
                before = self.uploaded + self.downloaded
                try:
                    self.settle()
                    self._fetch()
                    if not self._send(limit):
                        if limit is None and self.ledger.busy_elsewhere(self.files):
                            self.heart.rest(0.5)
                        elif not self._bring_home():
                            return
                except Interrupted as trouble:
                    failures = 1 if self.uploaded + self.downloaded > before else failures + 1
                    self._size = max(1, self._size // 2)
                    self._rest_after(trouble, failures)
                else:
                    failures = 0

    def _rest_after(self, trouble: Interrupted, failures: int) -> None:
        patience = self.patience if isinstance(trouble, TurnedAway) else PATIENCE
        if failures >= (PATIENCE_WITH_A_PAGE if isinstance(trouble, PageChanged) else patience):
            raise trouble
        wait = back_off(trouble, failures, live=self.platform.is_live)
        if wait > 5:
            self.progress.console.print(f"{trouble.message} Going on in {wait / 60:.1f} minutes.")
        self.heart.rest(wait)

    def settle(self) -> None:
        """Find out, from what the platform shows, what became of the attempts that were cut off."""
        doubt = self.ledger.doubt()
        if doubt and isinstance(self.platform, Site) and self.platform.is_live:
            self.heart.rest(self.platform.lag)  # from now: nobody knows when the last request of an attempt was
        for title, uploads in doubt.items():
            known = {each.position or 0: each.remote_id for each in uploads if each.remote_id}
            files = [self.files.get(each.sha256, Path()) for each in uploads]
            shown = self.session.read_back(Batch(title, files, known=known))
            gone: str | None = None
            if self.platform.atomic and 0 < len(shown) < len(uploads):
                self._partly[title] += 1
                if self._partly[title] < TRIES:
                    raise Interrupted(f"{self.platform.name}: the site shows {len(shown)} of {len(uploads)} images.")
                gone = "it was published and is not shown any more"
            self.ledger.settle(uploads, shown, gone=gone)
            self.uploaded += sum(each.id in self._sent and each.position in shown for each in uploads)
            self._show()

    def _send(self, limit: int | None) -> bool:
        """Upload the next batch; tell whether there was one."""
        room = self._size if limit is None else min(self._size, limit - self.uploaded)
        chosen = self._different(self.left(), room)
        if not chosen:
            return False
        while self._rate and (wait := self._rate.take(len(chosen))):
            self.heart.rest(jitter(wait) if wait < 60 else wait)
        uploads = self.ledger.claim(chosen)
        if not uploads:
            return True  # another collector was quicker
        self._sent |= {each.id for each in uploads}
        title = uploads[0].batch or ""
        with self._outgoing([self.files[each.sha256] for each in uploads]) as files:
            batch = Batch(title, files, lambda remote_ids: self.ledger.receive(uploads, remote_ids))
            try:
                self.ledger.confirm(uploads, self.session.upload(batch))
            except Refused as refused:
                self.ledger.reject(uploads, refused.position, str(refused))
                return True
        self._size = min(self.platform.batch_size, 2 * self._size)
        self.uploaded += len(uploads)
        self._show()
        return True

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
        for each in candidates:
            if len(chosen) >= room:
                break
            if all(distance(self._look(each), self._look(other)) > ALIKE for other in chosen):
                chosen.append(each)
        return chosen

    def _look(self, sha256: str) -> Look:
        if sha256 not in self._looks:
            self._looks[sha256] = look(self.files[sha256])
        return self._looks[sha256]

    def _renditions(self) -> tuple[str, ...]:
        return (self.platform.rendition, *self.platform.row.more_renditions)

    def _away(self, rendition: str) -> list[Download]:
        """List the downloads whose files are not in this store: they are lost, or in another collector's."""
        return [each for each in self.ledger.downloads(rendition).values() if not stored(each.sha256).exists()]

    def _plan_what_is_lost(self) -> None:
        """Have images go up again that were deleted from the site, and whose files are gone."""
        for rendition in self._renditions():
            for download in self._away(rendition):
                if download.upload.deleted_at:
                    self.ledger.forget(download)

    def _bring_home(self) -> bool:
        """Fetch the files that are not in this store; tell whether some are to be downloaded anew.

        That are those that came back otherwise than they were, and only once: another collector with a store of its own
        would have this one's fetched anew in turn.
        """
        forgotten = len(self._forgotten)
        for rendition in self._renditions():
            away = self._away(rendition)
            for some in (away[at : at + AT_ONCE] for at in range(0, len(away), AT_ONCE)):
                with self._incoming([each.upload for each in some], rendition) as files:
                    found = self.session.download([each.upload.remote_id or "" for each in some], rendition, files)
                    for download, address, file in zip(some, found, files, strict=True):
                        if isinstance(address, str) and _store(file).name == download.sha256:
                            self.downloaded += 1
                        elif download.upload_id not in self._forgotten:
                            self._forgotten.add(download.upload_id)
                            self.ledger.forget(download)
        self._show()
        return len(self._forgotten) > forgotten

    @contextmanager
    def _incoming(self, uploads: Sequence[Upload], rendition: str) -> Iterator[list[Path]]:
        """Name the files that are to come."""
        folder = LIVE_STATE / "incoming"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            yield [folder / f"{self.platform.name}-{each.id}-{rendition}" for each in uploads]
        except OSError as error:
            raise UserError(f"{folder} can't be written: {error.strerror}. Make room, then run again.") from None

    def _fetch(self) -> None:
        """Download what is up and not yet down, in every rendition asked for, and see that it is what went up."""
        for rendition in self._renditions():
            waiting = self.ledger.waiting(rendition, self.files)
            waiting = [each for each in waiting if self._tries[each.id] < TRIES]
            for uploads in self._together(waiting):
                self._fetch_some(uploads, rendition)

    def _together(self, uploads: Sequence[Upload]) -> Iterator[Sequence[Upload]]:
        """Share out what is downloaded and written down at once: whole batches, where order tells nothing."""
        if self.platform.ordered:
            yield from (uploads[at : at + AT_ONCE] for at in range(0, len(uploads), AT_ONCE))
        else:
            batches: dict[str | None, list[Upload]] = defaultdict(list)
            for each in uploads:
                batches[each.batch].append(each)
            yield from batches.values()

    def _fetch_some(self, uploads: Sequence[Upload], rendition: str) -> None:
        arrived: list[Arrival] = []
        trouble: Trouble | None = None
        with self._incoming(uploads, rendition) as files:
            found = self.session.download([each.remote_id or "" for each in uploads], rendition, files)
            for upload, address, file in zip(uploads, found, files, strict=True):
                if not isinstance(address, str):
                    if isinstance(address, Challenged | TurnedAway) or self._may_try_again(upload, address.message):
                        trouble = trouble if isinstance(trouble, Challenged) else address
                    continue
                arrived.append(Arrival(upload, address, _store(file)))
        for upload in uploads:
            self._look(upload.sha256)  # with which every arrival is compared
        verified = [each for each in arrived if self._shown(each.upload, each.file)]
        self._keep(rendition, verified)
        strays: dict[str, list[Arrival]] = defaultdict(list)
        for each in arrived:
            if each not in verified:
                strays[each.upload.batch or ""].append(each)
        if isinstance(trouble, Challenged):
            raise trouble
        for batch in strays.values():
            self._find_owners(batch, rendition)
        if trouble:
            raise trouble

    def _may_try_again(self, upload: Upload, reason: str) -> bool:
        """Count a try; after the last one of this run, write down why."""
        self._tries[upload.id] += 1
        if self._tries[upload.id] < TRIES:
            return True
        self.ledger.miss(upload, reason)
        return False

    def _shown(self, upload: Upload, file: Path) -> bool:
        own = self._look(upload.sha256)
        return shows(look(file), own, [other for other in self._looks.values() if other is not own])

    def _keep(self, rendition: str, arrivals: Sequence[Arrival]) -> None:
        self.ledger.keep(rendition, arrivals)
        self.downloaded += sum(each.reason is None for each in arrivals)
        self._show()

    def _find_owners(self, strays: Sequence[Arrival], rendition: str) -> None:
        """See whose the files of a batch are that are not what went up under their remote ids."""
        uploads = [each.upload for each in strays]
        ids = [each.remote_id or "" for each in uploads]
        owners: dict[int, int] = {}
        if not self.platform.ordered:
            owners = match([look(each.file) for each in strays], [self._look(each.sha256) for each in uploads])
            orphans = [at for at in range(len(strays)) if at not in owners]
            left = [at for at in range(len(strays)) if at not in owners.values()]
            whose = owners | dict(zip(orphans, left, strict=True))
            self.ledger.reassign([uploads[whose[at]] for at in range(len(strays))], ids)
            self._keep(rendition, [strays[at]._replace(upload=uploads[owner]) for at, owner in owners.items()])
            for at in orphans:
                self._trade(uploads[whose[at]], strays[at].file)
        again = False
        for at, each in enumerate(strays):  # perhaps a passing fault of the site's
            if at not in owners.values():
                self._tries[each.upload.id] += 1
                again |= self._tries[each.upload.id] < TRIES
                if self._tries[each.upload.id] >= TRIES:
                    self._keep(rendition, [each._replace(reason="the site serves another picture")])
        if again:
            raise Interrupted(f"{self.platform.name}: the site serves another picture than went up.")

    def _trade(self, holder: Upload, file: Path) -> None:
        """Trade remote ids with the image of the batch that this one's id shows, had it from a passing fault's file."""
        seen = look(file)
        for other in self.ledger.uploads("verified"):
            mine = other.batch == holder.batch and other.sha256 in self.files
            if mine and shows(seen, self._look(other.sha256), [self._look(holder.sha256)]):
                self.ledger.reassign([holder, other], [other.remote_id or "", holder.remote_id or ""])
                return

    def _show(self) -> None:
        for task, done in zip(self.progress.tasks, (self.uploaded, self.downloaded), strict=False):
            self.progress.update(task.id, completed=done)


def _store(file: Path) -> Path:
    """Put a file into the store, and return where it is."""
    kept = stored(hashlib.sha256(file.read_bytes()).hexdigest())
    kept.parent.mkdir(parents=True, exist_ok=True)
    file.replace(kept)
    return kept
