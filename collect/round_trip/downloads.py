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
from collect.round_trip.retry_policy import MAX_TRIES
from collect.round_trip.thumbnail_index import ThumbnailIndex
from collect.store import LIVE_STATE, is_stored, stored
from collect.thumbnails import match_thumbnails, read_thumbnail
from params import unwritable

FILES_PER_STEP = 32  # are downloaded and written down together


class Downloads:
    """Brings down what is up, in every rendition asked for.

    Args:
        files: those of the run, by sha256.
        thumbnails: theirs.
        on_progress: is called when more has come.
    """

    def __init__(
        self,
        platform: Platform,
        session: Session,
        ledger: Ledger,
        files: Mapping[str, Path],
        thumbnails: ThumbnailIndex,
        on_progress: Callable[[], None],
    ) -> None:
        self.platform = platform
        self.session = session
        self.ledger = ledger
        self.files = files
        self.thumbnails = thumbnails
        self.on_progress = on_progress
        self.downloaded = 0  # files
        self._discarded: set[int] = set()
        self._tries: Counter[int] = Counter()

    def fetch_all(self) -> None:
        """Download what is up and not yet down, in every rendition asked for, and see that it is what went up."""
        for rendition in self._renditions():
            waiting = self.ledger.claim_downloads(rendition, self.files)
            waiting = [each for each in waiting if self._tries[each.id] < MAX_TRIES]
            for uploads in self._steps(waiting):
                self._fetch_some(uploads, rendition)

    def _steps(self, uploads: Sequence[Upload]) -> Iterator[Sequence[Upload]]:
        """Share out what is downloaded and written down at once: whole batches, where order tells nothing."""
        if self.platform.ordered:
            yield from (uploads[at : at + FILES_PER_STEP] for at in range(0, len(uploads), FILES_PER_STEP))
        else:
            batches: dict[str | None, list[Upload]] = defaultdict(list)
            for each in uploads:
                batches[each.batch].append(each)
            yield from batches.values()

    def _fetch_some(self, uploads: Sequence[Upload], rendition: str) -> None:
        arrived, trouble = self._receive(uploads, rendition)
        for upload in uploads:
            self.thumbnails.of(upload.sha256)  # with which every arrival is compared
        verified = [each for each in arrived if self.thumbnails.shown_by(read_thumbnail(each.file), each.upload.sha256)]
        self._record(rendition, verified)
        if isinstance(trouble, CaptchaRequired):
            raise trouble
        strays: dict[str, list[Arrival]] = defaultdict(list)
        for each in arrived:
            if each not in verified:
                strays[each.upload.batch or ""].append(each)
        for batch in strays.values():
            self._find_owners(batch, rendition)
        if trouble:
            raise trouble

    def _receive(self, uploads: Sequence[Upload], rendition: str) -> tuple[list[Arrival], Trouble | None]:
        """Download files into the store; return them, and what stands in the way of others that may come yet."""
        arrived: list[Arrival] = []
        trouble: Trouble | None = None
        with self._incoming(uploads, rendition) as files:
            found = self.session.download([each.remote_id or "" for each in uploads], rendition, files)
            for upload, address, file in zip(uploads, found, files, strict=True):
                if isinstance(address, str):
                    arrived.append(Arrival(upload, address, _store(file)))
                elif isinstance(address, CaptchaRequired | RateLimited) or self._may_try_again(
                    upload, address.message, rendition
                ):
                    trouble = trouble if isinstance(trouble, CaptchaRequired) else address
        return arrived, trouble

    def _may_try_again(self, upload: Upload, reason: str, rendition: str) -> bool:
        """Count a try; after the last one of this run, write down why."""
        self._tries[upload.id] += 1
        if self._tries[upload.id] < MAX_TRIES:
            return True
        if self._is_main(rendition):
            self.ledger.record_missing(upload, reason)
        return False

    def _is_main(self, rendition: str) -> bool:
        """Tell whether it is the rendition that an upload's state tells of."""
        return rendition == self.platform.rendition

    def _record(self, rendition: str, arrivals: Sequence[Arrival]) -> None:
        self.ledger.record_downloads(rendition, arrivals, main=self._is_main(rendition))
        self.downloaded += sum(each.reason is None for each in arrivals)
        self.on_progress()

    def _find_owners(self, strays: Sequence[Arrival], rendition: str) -> None:
        """See whose the files of a batch are that are not what went up under their remote ids."""
        left = strays if self.platform.ordered else self._reassign(strays, rendition)
        for each in left:
            self._tries[each.upload.id] += 1
            if self._tries[each.upload.id] >= MAX_TRIES:
                self._record(rendition, [each._replace(reason="the site serves another picture")])
        if any(self._tries[each.upload.id] < MAX_TRIES for each in left):  # perhaps a passing fault of the site's
            raise TransientError(f"{self.platform.name}: the site serves another picture than went up.")

    def _reassign(self, strays: Sequence[Arrival], rendition: str) -> list[Arrival]:
        """Give each file of a batch, with its remote id, to the upload that it shows; return who got none."""
        uploads = [each.upload for each in strays]
        ids = [each.remote_id or "" for each in uploads]
        seen = [read_thumbnail(each.file) for each in strays]
        owners = match_thumbnails(seen, [self.thumbnails.of(each.sha256) for each in uploads])
        # a nearer one of the batch may be none of the strays
        owners = {at: own for at, own in owners.items() if self.thumbnails.shown_by(seen[at], uploads[own].sha256)}
        orphans = [at for at in range(len(strays)) if at not in owners]
        left = [at for at in range(len(strays)) if at not in owners.values()]
        whose = owners | dict(zip(orphans, left, strict=True))
        self.ledger.reassign_remote_ids([uploads[whose[at]] for at in range(len(strays))], ids)
        self._record(rendition, [strays[at]._replace(upload=uploads[owner]) for at, owner in owners.items()])
        for at in orphans:
            self._swap_remote_ids(uploads[whose[at]], strays[at].file)
        return [strays[at] for at in left]

    def _swap_remote_ids(self, holder: Upload, file: Path) -> None:
        """Trade remote ids with the image of the batch that this one's id shows, had it from a passing fault's file."""
        seen = read_thumbnail(file)
        for other in self.ledger.uploads("verified"):
            mine = other.batch == holder.batch and other.sha256 in self.files
            if mine and self.thumbnails.shown_by(seen, other.sha256):
                self.ledger.reassign_remote_ids([holder, other], [other.remote_id or "", holder.remote_id or ""])
                return

    def _renditions(self) -> tuple[str, ...]:
        return (self.platform.rendition, *self.platform.row.more_renditions)

    def _absent(self, rendition: str) -> list[Download]:
        """List the run's downloads whose files are not whole in this store: lost, or in another collector's."""
        downloads = [each for sha256, each in self.ledger.downloads(rendition).items() if sha256 in self.files]
        return [each for each in downloads if not is_stored(each.sha256, each.bytes)]

    def replan_lost(self) -> None:
        """Have images go up again that were deleted from the site, and whose files are gone."""
        for rendition in self._renditions():
            for download in self._absent(rendition):
                if download.upload.deleted_at:
                    self.ledger.discard_download(download, main=self._is_main(rendition))

    def fetch_absent(self) -> bool:
        """Fetch the files that are not in this store; tell whether some are to be downloaded anew.

        That are those that came back otherwise than they were, or whose address serves nothing any more, and only once:
        another collector with a store of its own would have this one's fetched anew in turn. Raises what stands in the
        way otherwise, of each file a few times.
        """
        discarded = len(self._discarded)
        for rendition in self._renditions():
            absent = [each for each in self._absent(rendition) if self._tries[each.upload_id] < MAX_TRIES]
            for at in range(0, len(absent), FILES_PER_STEP):
                self._fetch_absent_some(absent[at : at + FILES_PER_STEP], rendition)
        return len(self._discarded) > discarded

    def _fetch_absent_some(self, downloads: Sequence[Download], rendition: str) -> None:
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
                elif download.upload_id not in self._discarded:
                    self._discarded.add(download.upload_id)
                    self.ledger.discard_download(download, main=self._is_main(rendition))
        self.on_progress()
        if trouble:
            raise trouble[0]

    def _may_be_served_yet(self, download: Download, trouble: TransientError) -> bool:
        """Count a try; tell whether the trouble may pass, or the address has served nothing too often."""
        self._tries[download.upload_id] += 1
        return not isinstance(trouble, AddressExpired) or self._tries[download.upload_id] < MAX_TRIES

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
