"""A platform as `comreadv doctor` examines it: each step of its adapter alone, on one tiny image."""

from __future__ import annotations

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import BrowserContext, Page, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from collect import fingerprint
from collect.browser import launch, login, storage_state
from collect.browser.context import open_context
from collect.browser.downloader import Downloader
from collect.codecs import quantisation
from collect.doctor import pending_deletions
from collect.errors import NotSignedIn
from collect.locks import file_lock
from collect.platform import Batch, LocalPlatform, Platform, Site
from collect.redaction import strip_query
from collect.thumbnails import MAX_DISTANCE, distance, read_thumbnail, shows
from params import UserError

IMAGE_SIDE_PX = 64
ALBUM_CHECK_INTERVAL_S = 5.0  # between two looks at an album that lags behind


class Checks(ABC):
    """The steps that every platform has. Each returns what was seen, and raises whatever the adapter does."""

    def __init__(self, name: str, platform: Platform, folder: Path) -> None:
        self.name = name
        self.platform = platform
        self.original, self.served = folder / "doctor.png", folder / "served"
        self.batch = Batch(f"comreadv doctor {secrets.token_hex(4)}", [self.original], self._received)
        self.undeleted: list[Batch] = []  # what may be up and has to go

    @abstractmethod
    def _upload(self) -> dict[int, str]: ...

    @abstractmethod
    def _shown(self, batch: Batch, *, wanted: bool) -> dict[int, str]:
        """Read back what the platform shows of a batch, once it is what is wanted or has had time to be."""

    @abstractmethod
    def _fetch(self) -> None: ...

    @abstractmethod
    def _delete(self, remote_ids: Sequence[str], title: str) -> None: ...

    def upload_image(self) -> str:
        """Upload and publish an image that nobody has ever seen."""
        colours = np.random.default_rng().integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(colours).resize((IMAGE_SIDE_PX, IMAGE_SIDE_PX), Image.Resampling.BICUBIC).save(self.original)
        self.undeleted.insert(0, self.batch)
        (remote_id,) = self._upload().values()
        self._received({0: remote_id})
        return f"{IMAGE_SIDE_PX}×{IMAGE_SIDE_PX} PNG, {self.original.stat().st_size:,} bytes, is up as {remote_id}"

    def _received(self, remote_ids: Mapping[int, str]) -> None:
        self.batch.known.update(remote_ids)

    def read_back_upload(self) -> str:
        shown = self._shown(self.batch, wanted=True)
        if list(shown.values()) != [self.remote_id]:
            raise UserError(
                f"Uploaded was {self.remote_id}; the account shows {', '.join(shown.values()) or 'nothing'}."
            )
        return f"the account shows {self.remote_id}"

    @property
    def remote_id(self) -> str:
        return self.batch.known[0]

    def download_image(self) -> str:
        self._fetch()
        seen = quantisation.read_codec(self.served)
        return f"{seen['format']}, {seen['width']}×{seen['height']}, {self.served.stat().st_size:,} bytes"

    def compare_images(self) -> str:
        served, original = read_thumbnail(self.served), read_thumbnail(self.original)
        seen = f"{distance(served, original):.1f} grey levels off in coarse colours, of at most {MAX_DISTANCE:g}"
        if not shows(served, original, []):
            raise UserError(f"The site serves another picture than went up: {seen}.")
        return f"the one that went up: {seen}"

    def compare_codec(self) -> str:
        seen, whole = quantisation.read_codec(self.served), fingerprint.load(self.name)
        known, keys = whole["codec"], ("format", "quality", "sampling", "progressive", "tables")
        differ = [key for key in keys if seen.get(key) != known.get(key)]
        live = " --live" if isinstance(self.platform, Site) and self.platform.is_live else ""
        if not fingerprint.matches(whole, {"codec": {key: seen[key] for key in keys if key in seen}}):
            raise UserError(
                f"{_describe_codec(seen)}, but fingerprints/{self.name}.json says {_describe_codec(known)}"
                f" ({', '.join(differ)}). Look at more images with `comreadv drift --platform {self.name}{live}`;"
                " --write keeps what it sees."
            )
        return f"{_describe_codec(seen)}, as in fingerprints/{self.name}.json"

    def delete_uploads(self) -> str:
        """Delete what went up, also when the upload failed half-way, and what an earlier doctor left."""
        if not self.undeleted:
            return "nothing went up"
        gone: list[str] = []
        while self.undeleted:
            gone += self._delete_batch(self.undeleted[0])
            self.undeleted.pop(0)
        return f"{' and '.join(gone)}: gone" if gone else "nothing was published"

    def _delete_batch(self, batch: Batch) -> list[str]:
        """Delete what the platform shows of a batch, and see that it is gone; return its remote ids."""
        remote_ids = list(self._shown(batch, wanted=True).values())
        if remote_ids:
            self._delete(remote_ids, batch.title)
            if still := self._shown(batch, wanted=False):
                raise UserError(f"The account still shows {', '.join(still.values())}.")
        return remote_ids


class LocalChecks(Checks):
    """A platform without a site."""

    def __init__(self, name: str, platform: LocalPlatform, folder: Path, stack: ExitStack) -> None:
        super().__init__(name, platform, folder)
        self._session = stack.enter_context(platform.session(folder / "local"))

    def _upload(self) -> dict[int, str]:
        return self._session.upload(self.batch)

    def _shown(self, batch: Batch, *, wanted: bool) -> dict[int, str]:
        return self._session.read_back(batch) if wanted else {}  # it would encode the image anew

    def _fetch(self) -> None:
        self._session.download([self.remote_id], self.platform.rendition, [self.served])

    def _delete(self, remote_ids: Sequence[str], title: str) -> None:
        self._session.delete(remote_ids, title)


class SiteChecks(Checks):
    """A platform with pages."""

    def __init__(self, name: str, site: Site, folder: Path, stack: ExitStack) -> None:
        super().__init__(name, site, folder)
        self.site = site
        self.context: BrowserContext | None = None
        self._stack = stack
        self._account = self._address = ""

    @property
    def page(self) -> Page:
        """The page that was opened last."""
        assert self.context is not None
        return self.context.pages[-1]

    def start_browser(self) -> str:
        playwright = self._stack.enter_context(sync_playwright())
        self._browser, path = launch.launch_browser_at(playwright, self.site)
        self._stack.callback(self._browser.close)
        return f"{path}, version {self._browser.version}"

    def lock_state_folder(self) -> str:
        lock = storage_state.state_file(self.site).with_suffix(".examined")
        self._stack.enter_context(file_lock(lock, f"{self.name} is being examined. Waiting for its end."))
        return f"{storage_state.state_folder()} is yours alone"

    def sign_in(self) -> str:
        state = storage_state.stored_state(self.site) if self.site.is_live else None
        self.context = open_context(self._browser, self.site, state)
        if state is None:
            login.sign_in_locally(self.site, self.context.new_page())
        elif not login.has_sign_in_cookies(self.site, self.context):
            raise UserError(f"{state} lacks the cookies of a sign-in. Run `{storage_state.login_command(self.site)}`.")
        return f"stored {storage_state.describe_age(state)}" if state else f"at {self.site.origin}"

    def show_account(self) -> str:
        assert self.context is not None
        self._account = self.site.account(self.context.new_page())
        if not self._account:
            raise NotSignedIn
        self.undeleted = pending_deletions.list_pending(self.site, self._account, self.original)
        if self.site.is_live:
            self._stack.callback(self._keep_sign_in, self.context)
        return self._account

    def _keep_sign_in(self, context: BrowserContext) -> None:
        """Store the sign-in as the site has renewed it; else what is stored stays."""
        with suppress(PlaywrightError, UserError):  # the browser has ended, or the disk is full
            storage_state.save_state(self.site, context.storage_state())

    def _upload(self) -> dict[int, str]:
        pending_deletions.record_pending(self.site, self._account, self.batch)
        return self.site.upload(self.page, self.batch)

    def _received(self, remote_ids: Mapping[int, str]) -> None:
        super()._received(remote_ids)
        pending_deletions.record_pending(self.site, self._account, self.batch)

    def _shown(self, batch: Batch, *, wanted: bool) -> dict[int, str]:
        end = time.monotonic() + (self.site.album_lag_s if self.site.is_live else 0)
        while True:
            shown = self.site.read_back(self.page, batch)
            if bool(shown) == wanted or time.monotonic() > end:
                return shown
            time.sleep(ALBUM_CHECK_INTERVAL_S)

    def find_address(self) -> str:
        self._address = self.site.address(self.page, self.remote_id, self.site.rendition)
        if not self._address:
            raise UserError(f"The page has no address for {self.remote_id}.")
        return strip_query(self._address)

    def _fetch(self) -> None:
        Downloader.from_page(self.site, self.page).fetch(self._address, self.served)

    def _delete(self, remote_ids: Sequence[str], title: str) -> None:
        self.site.delete(self.page, remote_ids, title)

    def _delete_batch(self, batch: Batch) -> list[str]:
        remote_ids = super()._delete_batch(batch)
        pending_deletions.remove_pending(self.site, batch)
        return remote_ids


def _describe_codec(codec: Mapping[str, Any]) -> str:
    parts = [str(codec["format"])]
    if "tables" in codec:
        parts = [f"{codec['format']} quality {codec['quality']}", codec["sampling"]]
        parts.append("progressive" if codec["progressive"] else "baseline")
    return ", ".join(parts)
