"""One run of a collector: settle what is in doubt, download, upload, until nothing is left."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from collect.collectors import Heart
from collect.ledger import Ledger
from collect.look import ALIKE, Look, distance, look, match, shows
from collect.originals import LIVE_STATE, stored
from collect.platform import Batch, Interrupted, PageChanged, Platform, Refused, Session, Site, TurnedAway
from collect.rates import Rate, back_off, jitter
from collect.tables import Upload
from params import UserError

PATIENCE = 12  # troubles in a row, without any progress, after which a run ends with the last one
PATIENCE_WITH_A_SITE = 36  # that turns us away: with the longest waits, a day and a half
PATIENCE_WITH_A_PAGE = 3  # that is not as the adapter expects
TRIES = 3  # at downloading something that is not what went up


class Run:
    """One run over a set of files, by sha256."""

    def __init__(
        self, platform: Platform, session: Session, ledger: Ledger, heart: Heart, files: Mapping[str, Path]
    ) -> None:
        self.platform = platform
        self.session = session
        self.ledger = ledger
        self.heart = heart
        self.files = files
        self.uploaded = 0  # by this run
        self.downloaded = 0
        self._size = platform.batch_size
        self._sent: set[int] = set()
        self._looks: dict[str, Look] = {}
        self._tries: Counter[int] = Counter()
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
        self.ledger.plan(self.files)
        return [each.sha256 for each in self.ledger.uploads("planned") if each.sha256 in self.files]

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
                        if limit is not None or not self.ledger.busy_elsewhere(self.files):
                            return
                        self.heart.rest(0.5)
                except Interrupted as trouble:
                    failures = 1 if self.uploaded + self.downloaded > before else failures + 1
                    self._size = max(1, self._size // 2)
                    self._rest_after(trouble, failures)
                else:
                    failures = 0

    def _rest_after(self, trouble: Interrupted, failures: int) -> None:
        patience = PATIENCE_WITH_A_SITE if isinstance(trouble, TurnedAway) else PATIENCE
        if failures >= (PATIENCE_WITH_A_PAGE if isinstance(trouble, PageChanged) else patience):
            raise trouble
        wait = back_off(trouble, failures, live=self.platform.is_live)
        if wait > 5:
            self.progress.console.print(f"{trouble.message} Going on in {wait / 60:.1f} minutes.")
        self.heart.rest(wait)

    def settle(self) -> None:
        """Find out, from what the platform shows, what became of the attempts that were cut off."""
        for title, uploads in self.ledger.doubt().items():
            if isinstance(self.platform, Site) and self.platform.is_live:
                sent = datetime.fromisoformat(uploads[0].sent_at or "1970-01-01T00:00:00+00:00")
                self.heart.rest(self.platform.lag - (datetime.now(UTC) - sent).total_seconds())
            known = {each.position or 0: each.remote_id for each in uploads if each.remote_id}
            files = [self.files.get(each.sha256, Path()) for each in uploads]
            shown = self.session.read_back(Batch(title, files, known=known))
            self.ledger.settle(uploads, shown)
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
        self.heart.beat()
        uploads = self.ledger.claim(chosen)
        if not uploads:
            return True  # another collector was quicker
        self._sent |= {each.id for each in uploads}
        files = [self.files[each.sha256] for each in uploads]
        batch = Batch(
            uploads[0].batch or "",
            files,
            lambda position, remote_id: self.ledger.receive(uploads[position], remote_id),
        )
        try:
            self.ledger.confirm(uploads, self.session.upload(batch))
        except Refused as refused:
            self.ledger.reject(uploads, refused.position, str(refused))
            return True
        self._size = min(self.platform.batch_size, 2 * self._size)
        self.uploaded += len(uploads)
        self._show()
        return True

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

    def _fetch(self) -> None:
        """Download what is up and not yet down, in every rendition asked for, and see that it is what went up."""
        trouble: Interrupted | None = None
        for rendition in (self.platform.rendition, *self.platform.row.more_renditions):
            for download in self.ledger.downloads(rendition).values():
                if not stored(download.sha256).exists():
                    self.ledger.forget(download)
            strays: dict[str, list[tuple[Upload, str, Path]]] = defaultdict(list)
            for each in self.ledger.waiting(rendition, self.files):
                if self._tries[each.id] >= TRIES:
                    continue
                try:
                    address, kept = self._download(each, rendition)
                except Interrupted as failed:
                    trouble = failed
                    continue
                if self._shown(each, kept):
                    self._keep(each, rendition, address, kept)
                else:
                    strays[each.batch or ""].append((each, address, kept))
            for batch in strays.values():
                self._find_owners(batch, rendition)
        if trouble:
            raise trouble

    def _download(self, upload: Upload, rendition: str) -> tuple[str, Path]:
        assert upload.remote_id is not None
        self.heart.beat()
        part = LIVE_STATE / "incoming" / f"{self.platform.name}-{upload.id}-{rendition}"
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            address = self.session.download(upload.remote_id, rendition, part)
            kept = stored(hashlib.sha256(part.read_bytes()).hexdigest())
            kept.parent.mkdir(parents=True, exist_ok=True)
            part.replace(kept)
        except OSError as error:
            raise UserError(f"{part} can't be written: {error.strerror}. Make room, then run again.") from None
        return address, kept

    def _shown(self, upload: Upload, file: Path) -> bool:
        own = self._look(upload.sha256)
        return shows(look(file), own, [other for other in self._looks.values() if other is not own])

    def _keep(self, upload: Upload, rendition: str, address: str, file: Path, reason: str | None = None) -> None:
        self.ledger.keep(upload, rendition, address, sha256=file.name, size=file.stat().st_size, reason=reason)
        if reason is None:
            self.downloaded += 1
            self._show()

    def _find_owners(self, strays: list[tuple[Upload, str, Path]], rendition: str) -> None:
        """See whose the files of a batch are that are not what went up under their remote ids."""
        uploads = [upload for upload, _, _ in strays]
        owners: dict[int, int] = {}
        if not self.platform.ordered:
            owners = match([look(file) for _, _, file in strays], [self._look(each.sha256) for each in uploads])
            orphans = [at for at in range(len(strays)) if at not in owners]
            left = [at for at in range(len(strays)) if at not in owners.values()]
            whose = owners | dict(zip(orphans, left, strict=True))
            ids = [each.remote_id or "" for each in uploads]
            self.ledger.reassign([uploads[whose[at]] for at in range(len(strays))], ids)
            for at, owner in owners.items():
                self._keep(uploads[owner], rendition, *strays[at][1:])
        again = False
        for at, (upload, address, file) in enumerate(strays):  # perhaps a passing fault of the site's
            if at not in owners.values():
                self._tries[upload.id] += 1
                again |= self._tries[upload.id] < TRIES
                if self._tries[upload.id] >= TRIES:
                    self._keep(upload, rendition, address, file, "the site serves another picture")
        if again:
            raise Interrupted(f"{self.platform.name}: the site serves another picture than went up.")

    def _show(self) -> None:
        for task, done in zip(self.progress.tasks, (self.uploaded, self.downloaded), strict=False):
            self.progress.update(task.id, completed=done)
