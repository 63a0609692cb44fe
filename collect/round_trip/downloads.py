"""The downloads of a run: what came is seen to be what went up, and written down."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from collect.errors import AddressExpired, CaptchaRequired, RateLimited, TransientError, Trouble
from collect.ledger.ledger import Arrival, Ledger
from collect.ledger.models import Download, Upload
from collect.platform import Platform, Session
from collect.round_trip.thumbnails import ThumbnailIndex, look, match
from collect.store import LIVE_STATE, is_stored, stored
from params import unwritable

AT_ONCE = 32  # files that are downloaded and written down together
TRIES = 3  # at what a site may show otherwise for a while: a file that is not what went up, a part of a batch


class Downloads:
    """Brings down what is up, in every rendition asked for.

    Args:
        files: those of the run, by sha256.
        looks: theirs.
        tell: is called when more has come.
    """

    def __init__(
        self,
        platform: Platform,
        session: Session,
        ledger: Ledger,
        files: Mapping[str, Path],
        looks: ThumbnailIndex,
        tell: Callable[[], None],
    ) -> None:
        self.platform = platform
        self.session = session
        self.ledger = ledger
        self.files = files
        self.looks = looks
        self.tell = tell
        self.downloaded = 0  # files
        self._forgotten: set[int] = set()
        self._tries: Counter[int] = Counter()

    def all(self) -> None:
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
                    asks_for_rest = isinstance(address, CaptchaRequired | RateLimited)
                    if asks_for_rest or self._may_try_again(upload, address.message, rendition):
                        trouble = trouble if isinstance(trouble, CaptchaRequired) else address
                    continue
                arrived.append(Arrival(upload, address, _store(file)))
        for upload in uploads:
            self.looks.of(upload.sha256)  # with which every arrival is compared
        verified = [each for each in arrived if self.looks.shown_by(look(each.file), each.upload.sha256)]
        self._keep(rendition, verified)
        strays: dict[str, list[Arrival]] = defaultdict(list)
        for each in arrived:
            if each not in verified:
                strays[each.upload.batch or ""].append(each)
        if isinstance(trouble, CaptchaRequired):
            raise trouble
        for batch in strays.values():
            self._find_owners(batch, rendition)
        if trouble:
            raise trouble

    def _may_try_again(self, upload: Upload, reason: str, rendition: str) -> bool:
        """Count a try; after the last one of this run, write down why."""
        self._tries[upload.id] += 1
        if self._tries[upload.id] < TRIES:
            return True
        if self._is_main(rendition):
            self.ledger.miss(upload, reason)
        return False

    def _is_main(self, rendition: str) -> bool:
        """Tell whether it is the rendition that an upload's state tells of."""
        return rendition == self.platform.rendition

    def _keep(self, rendition: str, arrivals: Sequence[Arrival]) -> None:
        self.ledger.keep(rendition, arrivals, main=self._is_main(rendition))
        self.downloaded += sum(each.reason is None for each in arrivals)
        self.tell()

    def _find_owners(self, strays: Sequence[Arrival], rendition: str) -> None:
        """See whose the files of a batch are that are not what went up under their remote ids."""
        uploads = [each.upload for each in strays]
        ids = [each.remote_id or "" for each in uploads]
        owners: dict[int, int] = {}
        if not self.platform.ordered:
            seen = [look(each.file) for each in strays]
            owners = match(seen, [self.looks.of(each.sha256) for each in uploads])
            # a nearer one of the batch may be none of the strays
            owners = {at: own for at, own in owners.items() if self.looks.shown_by(seen[at], uploads[own].sha256)}
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
            raise TransientError(f"{self.platform.name}: the site serves another picture than went up.")

    def _trade(self, holder: Upload, file: Path) -> None:
        """Trade remote ids with the image of the batch that this one's id shows, had it from a passing fault's file."""
        seen = look(file)
        for other in self.ledger.uploads("verified"):
            mine = other.batch == holder.batch and other.sha256 in self.files
            if mine and self.looks.shown_by(seen, other.sha256):
                self.ledger.reassign([holder, other], [other.remote_id or "", holder.remote_id or ""])
                return

    def _renditions(self) -> tuple[str, ...]:
        return (self.platform.rendition, *self.platform.row.more_renditions)

    def _away(self, rendition: str) -> list[Download]:
        """List the run's downloads whose files are not whole in this store: lost, or in another collector's."""
        downloads = [each for sha256, each in self.ledger.downloads(rendition).items() if sha256 in self.files]
        return [each for each in downloads if not is_stored(each.sha256, each.bytes)]

    def plan_what_is_lost(self) -> None:
        """Have images go up again that were deleted from the site, and whose files are gone."""
        for rendition in self._renditions():
            for download in self._away(rendition):
                if download.upload.deleted_at:
                    self.ledger.forget(download, main=self._is_main(rendition))

    def bring_home(self) -> bool:
        """Fetch the files that are not in this store; tell whether some are to be downloaded anew.

        That are those that came back otherwise than they were, or whose address serves nothing any more, and only once:
        another collector with a store of its own would have this one's fetched anew in turn. Raises what stands in the
        way otherwise, of each file a few times.
        """
        forgotten = len(self._forgotten)
        for rendition in self._renditions():
            away = [each for each in self._away(rendition) if self._tries[each.upload_id] < TRIES]
            for at in range(0, len(away), AT_ONCE):
                self._bring_some(away[at : at + AT_ONCE], rendition)
        return len(self._forgotten) > forgotten

    def _bring_some(self, downloads: Sequence[Download], rendition: str) -> None:
        trouble: list[Trouble] = []
        with self._incoming([each.upload for each in downloads], rendition) as files:
            found = self.session.download([each.upload.remote_id or "" for each in downloads], rendition, files)
            for download, address, file in zip(downloads, found, files, strict=True):
                if isinstance(address, str) and _store(file).name == download.sha256:
                    self.downloaded += 1
                elif isinstance(address, CaptchaRequired | RateLimited):
                    trouble.insert(0, address)
                elif isinstance(address, TransientError) and self._may_be_served_yet(download, address):
                    trouble.append(address)
                elif download.upload_id not in self._forgotten:
                    self._forgotten.add(download.upload_id)
                    self.ledger.forget(download, main=self._is_main(rendition))
        self.tell()
        if trouble:
            raise trouble[0]

    def _may_be_served_yet(self, download: Download, trouble: TransientError) -> bool:
        """Count a try; tell whether the trouble may pass, or the address has served nothing too often."""
        self._tries[download.upload_id] += 1
        return not isinstance(trouble, AddressExpired) or self._tries[download.upload_id] < TRIES

    @contextmanager
    def _incoming(self, uploads: Sequence[Upload], rendition: str) -> Iterator[list[Path]]:
        """Name the files that are to come."""
        folder = LIVE_STATE / "incoming"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            yield [folder / f"{self.platform.name}-{each.id}-{rendition}" for each in uploads]
        except OSError as error:
            raise unwritable(folder, error) from None


def _store(file: Path) -> Path:
    """Put a file into the store, and return where it is."""
    kept = stored(hashlib.sha256(file.read_bytes()).hexdigest())
    kept.parent.mkdir(parents=True, exist_ok=True)
    file.replace(kept)
    return kept
