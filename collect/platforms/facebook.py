"""Facebook: a batch is an album of its own that only its owner sees (docs/platforms.md; never run live)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from html import unescape

from playwright.sync_api import Locator, Page, TimeoutError

from collect.browser.blocking import check_marks, check_status
from collect.browser.navigation import expect_arrival, visit
from collect.browser.page import read_property
from collect.browser.responses import request_data
from collect.errors import NotSignedIn, SubmitFailed, TransientError, UploadRejected
from collect.platform import TEMPORARY_REFUSAL, Batch, Site
from collect.retry import pause_between_requests, retry_read
from params import UserError

ALBUM_ADDRESS = re.compile(r"/media/set/\?set=a\.")
LIST_TIMEOUT_MS, MORE_TIMEOUT_MS, SANDBOX_TIMEOUT_MS = 30_000, 5_000, 1_000  # for a list's first part, or for more


class Facebook(Site):
    name = "facebook"
    root = "https://www.facebook.com/"
    login_url = "https://www.facebook.com/login/"
    guest_paths = ("/login.php",)
    cookie_names = ("c_user", "xs")
    renditions = ("full",)
    referer = "https://www.facebook.com/"
    block_marks = ("CometErrorRoot.react",)
    challenge_marks = ("/checkpoint/", "Security check", "安全验证")
    batch_size = 30
    ordered = False  # the album's order is the site's own affair
    per_minute = 15.0
    per_day = 600
    _page_has_address = True  # the photo's page, of the image's address, in its HTML

    def account(self, page: Page) -> str:
        visit(self, page, self.at(self.root))
        for cookie in page.context.cookies(page.url):
            if cookie.get("name") == "c_user":
                return cookie["value"]
        raise NotSignedIn

    def upload(self, page: Page, batch: Batch) -> dict[int, str]:
        visit(self, page, self.at("https://www.facebook.com/media/set/create"))
        page.locator('input[type="file"]').set_input_files(batch.files)
        page.get_by_label(re.compile("^(Album name|相册名称)")).fill(batch.title)
        page.get_by_role("button", name=re.compile("Friends|Public|Only me|好友|公开|仅限自己")).click()
        page.get_by_role("radio", name=re.compile("Only me|仅限自己")).check()
        page.get_by_role("button", name=re.compile("^(Done|完成)$")).click()
        page.get_by_role("button", name=re.compile("Only me|仅限自己")).wait_for()  # what was chosen holds
        try:
            with expect_arrival(self, page, ALBUM_ADDRESS, files=len(batch.files)):
                page.get_by_role("button", name=re.compile("^(Post|发布)$")).click()
        except SubmitFailed as stayed:
            named = [position for position, file in enumerate(batch.files) if file.name in stayed.site_message]
            if len(named) != 1 or TEMPORARY_REFUSAL.search(stayed.site_message):
                raise
            if self.is_live:
                time.sleep(self.album_lag_s)
            if self._open_album(page, batch.title):  # it says one thing and has done another
                raise TransientError(f"{stayed.message} But there is the album.") from None
            raise UploadRejected(named[0], stayed.site_message) from None
        return dict(enumerate(self._listed(page, len(batch.files), batch.title)))

    def read_back(self, page: Page, batch: Batch) -> dict[int, str]:
        if not self._open_album(page, batch.title):
            return {}
        return dict(enumerate(self._listed(page, len(batch.files), batch.title, some_may_be_gone=True)))

    def address(self, page: Page, remote_id: str, rendition: str) -> str:
        address = self.at(f"https://www.facebook.com/photo/?fbid={remote_id}")
        if self._page_has_address and (found := retry_read(self, partial(self._read_image_address, page, address))):
            return found
        self._page_has_address = False  # the image is there only once the page's scripts have run
        visit(self, page, address)
        image = page.locator('img[data-visualcompletion="media-vc-image"]')
        return image.get_attribute("src") or ""

    def _read_image_address(self, page: Page, address: str) -> str | None:
        """Read the image's address off the photo's page without showing it, which takes ten times as long."""
        answer = request_data(self, page, address)
        check_status(self, answer.status, answer.address, answer.retry_after)
        check_marks(self, answer.address, answer.text, answer.retry_after)
        if self.is_for_guests(answer.address):
            raise NotSignedIn
        image = re.search(r'<img[^>]*data-visualcompletion="media-vc-image"[^>]*\bsrc="([^"]+)"', answer.text)
        return unescape(image[1]) if image else None

    def delete(self, page: Page, remote_ids: Sequence[str], title: str) -> None:
        if not self._open_album(page, title):
            return
        photos = self._photos(page, len(remote_ids) + 1)
        if not set(photos) <= set(remote_ids):
            raise UserError(f"facebook: the album {title!r} holds other photos too; delete it by hand.")
        if not self._says_that_it_has(page, str(len(photos))):  # others may be among those that have not come
            message = (
                f"facebook: the album {title!r} shows {len(photos)} photos, and does not say that it has no more. If it"
                " stays so, delete it by hand."
            )
            raise TransientError(message) if self._says_that_it_has(page, r"\d+") else UserError(message)
        page.get_by_role("button", name=re.compile("^(Delete album|删除相册)$")).click()
        with expect_arrival(self, page, re.compile("/photos_albums")):
            page.get_by_role("dialog").get_by_role("button", name=re.compile("^(Delete album|删除相册)$")).click()

    def _open_album(self, page: Page, title: str) -> bool:
        """Go to the album of that title; tell whether there is one.

        Raises TransientError when a live site shows no album at all: nothing else tells a list that has not come.
        """
        came = False
        for _ in range(2):  # a list that has not come yet looks like one that lacks the album
            visit(self, page, self.at("https://www.facebook.com/me/photos_albums"))
            page.get_by_role("heading", name=re.compile("Albums|相册")).first.wait_for()
            albums = page.locator('a[href*="/media/set/?set=a."]')
            came |= self._comes(albums.first, LIST_TIMEOUT_MS)
            album = page.get_by_role("link", name=title)
            self._scroll(page, albums, until=album.count)
            if album.count():
                visit(self, page, next(iter(read_property(self, album, "href")), ""))
                return True
        if self.is_live and not came:
            raise TransientError(
                "facebook: the list of albums did not come. If the account has no album at all, make one by hand, with"
                " a photo of your own."
            )
        return False

    def _listed(self, page: Page, count: int, title: str, *, some_may_be_gone: bool = False) -> list[str]:
        """List the photos of the album that is open; fewer than went up only where it says that it has no more."""
        photos = self._photos(page, count)
        all_of_them = some_may_be_gone and len(photos) < count and self._says_that_it_has(page, str(len(photos)))
        if len(photos) != count and not all_of_them:
            raise TransientError(
                f"facebook: the album {title!r} shows {len(photos)} of {count} photos, so that nobody can tell which is"
                " which. If it stays so, delete the album on the site."
            )
        return photos

    def _says_that_it_has(self, page: Page, count: str) -> bool:
        return page.get_by_text(re.compile(rf"(^|\D){count} ?(photo|item|张照片|项)")).count() > 0

    def _photos(self, page: Page, count: int) -> list[str]:
        """List the photos of the album that is open, until there are so many or no more come."""
        links = page.locator('a[href*="/photo/?fbid="]')
        links.first.wait_for()
        photos: list[str] = []

        def enough() -> bool:
            addresses = read_property(self, links, "href")
            photos[:] = dict.fromkeys(found[1] for each in addresses if (found := re.search(r"fbid=(\d+)", each)))
            return len(photos) >= count

        self._scroll(page, links, until=enough)
        enough()
        return photos

    def _scroll(self, page: Page, links: Locator, *, until: Callable[[], object]) -> None:
        """Scroll a list that grows at its end, until there is what is wanted or no more comes."""
        while not until() and (shown := links.count()):
            pause_between_requests(self)
            page.mouse.wheel(0, 10_000)
            if not self._comes(links.nth(shown), MORE_TIMEOUT_MS):
                links.last.scroll_into_view_if_needed()  # the list may have a frame of its own
                if not self._comes(links.nth(shown), MORE_TIMEOUT_MS):
                    return

    def _comes(self, link: Locator, live_wait: int) -> bool:
        try:
            link.wait_for(timeout=live_wait if self.is_live else SANDBOX_TIMEOUT_MS)
        except TimeoutError:
            return False
        return True
