"""The adapter contract: what a platform's one file has to say, and load_platform(name)."""

from __future__ import annotations

import importlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol
from urllib.parse import urlsplit

from collect import redaction
from collect.errors import SubmitFailed, Trouble, UploadRejected
from params import PlatformRow, UserError, adapters

if TYPE_CHECKING:
    from playwright.sync_api import Page

# in a site's words, what no image is to blame for
TEMPORARY_REFUSAL = re.compile(r"频繁|太快|太多|上限|休息|稍[后候]|[重再]试|try again|\blater\b", re.IGNORECASE)


def explain_refusal(site: Site, position: int, said: str) -> UploadRejected | SubmitFailed:
    """Return what a site's words against an image mean: it is refused, or the site may take it another time."""
    if TEMPORARY_REFUSAL.search(said):
        return SubmitFailed(f"{site.name} does not take an image for now. It says: {redaction.redact_message(said)}")
    return UploadRejected(position, said)


@dataclass(frozen=True)
class Batch:
    """Images that go up together; `on_received` gets remote ids by position as soon as the site answers with them."""

    title: str
    files: list[Path]
    on_received: Callable[[Mapping[int, str]], None] = lambda _remote_ids: None
    known: dict[int, str] = field(default_factory=dict)  # position → remote id, from an earlier attempt

    def match_known(self, shown: Iterable[str]) -> dict[int, str]:
        """Return what is known and among the remote ids that are shown, of which no more are read than needed."""
        left = set(self.known.values())
        for remote_id in shown:
            left.discard(remote_id)
            if not left:
                break
        return {position: remote_id for position, remote_id in self.known.items() if remote_id not in left}


class Session(Protocol):
    """An open account on a platform, as a round trip drives it."""

    account: str

    def upload(self, batch: Batch) -> dict[int, str]:
        """Upload and publish a batch; return position → remote id. What is not among them did not go up."""

    def read_back(self, batch: Batch) -> dict[int, str]:
        """Tell which images of a batch the platform shows: position → remote id."""

    def download(
        self, remote_ids: Sequence[str], rendition: str, files: Sequence[Path], accept: str | None = None
    ) -> list[str | Trouble]:
        """Write what the platform serves, byte for byte; return each address without secrets, or what went wrong.

        Args:
            accept: the header of that name; None: the browser's.
        """

    def delete(self, remote_ids: Sequence[str], title: str) -> None:
        """Delete those images of the batch of that title from the platform."""


class Platform(ABC):
    """What takes images and gives renditions; one subclass in one file each."""

    name: ClassVar[str]
    renditions: ClassVar[tuple[str, ...]]  # the first is the default
    takes: ClassVar[tuple[str, ...]] = ("png", "jpeg")  # kinds of files that may be uploaded
    batch_size: ClassVar[int] = 10
    atomic: ClassVar[bool] = True  # what has arrived of a batch is published whole or not at all
    ordered: ClassVar[bool] = True  # False: nothing but its content tells which remote id is whose
    longest_side: int = 2048  # pixels that come back as many as went up; a mosaic keeps within them

    def __init__(self, row: PlatformRow, *, origin: str | None = None) -> None:
        if origin is not None and not origin.startswith(("http://", "https://")):
            raise UserError(f"--origin {origin}: give a full address, such as http://127.0.0.1:8001.")
        self.row = row
        self.origin = origin.rstrip("/") if origin else None
        self.rendition = row.rendition or self.renditions[0]
        for each in (self.rendition, *row.more_renditions):
            if each not in self.renditions:
                raise UserError(
                    f"{self.name} has no rendition {each!r}; there are {', '.join(self.renditions)}."
                    " Mend the platform's row in params.yaml."
                )

    @property
    def is_live(self) -> bool:
        """Tell whether this talks to the real site, rather than to something on this computer."""
        if self.origin is None:
            return self.row.site == "live"
        return urlsplit(self.origin).hostname not in ("127.0.0.1", "localhost", "::1")


class LocalPlatform(Platform):
    """A platform on this computer, without a site or a browser."""

    @abstractmethod
    def session(self, storage: Path) -> AbstractContextManager[Session]:
        """Open an account on the platform, which keeps its files in the folder `storage`."""


class Site(Platform):
    """A platform on the web, described as a page about the site."""

    root: ClassVar[str]
    login_url: ClassVar[str]
    guest_paths: ClassVar[tuple[str, ...]] = ()  # of other pages that the site shows to nobody who is signed in
    cookie_names: ClassVar[tuple[str, ...]]  # present together only when somebody is signed in
    referer: ClassVar[str]
    # as Chromium asks for images, but for the JPEG XL of the newest, which nothing here decodes
    accept: ClassVar[str] = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
    block_marks: ClassVar[tuple[str, ...]] = ()  # in the address or the text of a page that turns us away
    challenge_marks: ClassVar[tuple[str, ...]] = ()  # in those of a page that wants to see a person
    audience: ClassVar[str] = "for its owner's eyes only"  # whom the images are shown to, as a person is told
    per_minute: ClassVar[float]  # images that go up to the live site, at most
    per_day: ClassVar[int]
    request_interval_s: ClassVar[float] = 2.0  # before each page or file of the live site, on average
    album_lag_s: ClassVar[float] = 60.0  # until the live site's album surely shows what was published

    def at(self, url: str) -> str:
        """Turn an address on the real site into the same path and query on the origin in use."""
        if self.origin is None:
            return url
        return self.origin + urlsplit(url)._replace(scheme="", netloc="").geturl()

    def is_for_guests(self, address: str) -> bool:
        """Tell whether an address is where the site sends somebody who is not signed in."""
        path = urlsplit(address).path.rstrip("/")
        return path.endswith((urlsplit(self.login_url).path.rstrip("/"), *self.guest_paths))

    def check_address(self) -> None:
        """Raise UserError where nothing says at which address the site is."""
        if self.origin is None and not self.is_live:
            raise UserError(
                f"{self.name} has no sandbox: say `site: live` in its row of params.yaml, or give --origin."
            )

    def sign_in(self, page: Page) -> None:
        """Sign in by the page at `login_url` of a site on this computer: a sandbox has a button for it."""
        page.get_by_role("button", name="Sign in to the sandbox").click(timeout=5_000)

    @abstractmethod
    def account(self, page: Page) -> str:
        """Return the public number of the account that is signed in; raise NotSignedIn otherwise."""

    @abstractmethod
    def upload(self, page: Page, batch: Batch) -> dict[int, str]:
        """Upload and publish a batch so that only its owner sees it; return position → remote id.

        What is not among them did not go up, and can't be published any more.
        """

    @abstractmethod
    def read_back(self, page: Page, batch: Batch) -> dict[int, str]:
        """Tell which images of a batch the site shows: position → remote id."""

    @abstractmethod
    def address(self, page: Page, remote_id: str, rendition: str) -> str:
        """Return the address of a rendition, as a browser would ask for it."""

    @abstractmethod
    def delete(self, page: Page, remote_ids: Sequence[str], title: str) -> None:
        """Delete those images, and no others, of the batch of that title; what is gone already is no error."""


def load_platform(name: str, row: PlatformRow, *, origin: str | None = None) -> Platform:
    """Make the adapter of a platform's row: the Platform subclass in collect/platforms/<adapter>.py."""
    if row.adapter not in adapters():
        raise UserError(f"Platform {name}: no adapter {row.adapter!r}; there are {', '.join(adapters())}.")
    module = importlib.import_module(f"collect.platforms.{row.adapter}")
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Platform) and value.__module__ == module.__name__:
            return value(row, origin=origin or row.origin)
    raise TypeError(f"collect/platforms/{row.adapter}.py defines no Platform")
