"""Douban: a batch goes into a private album that its owner made by hand (docs/platforms.md; never run live)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from playwright.sync_api import Page

from collect.browser.navigation import expect_arrival, visit
from collect.browser.page import read_property
from collect.browser.responses import check_file_count, expect_responses, read_file_responses
from collect.errors import NotSignedIn
from collect.platform import Batch, Site, explain_refusal
from collect.retry import pause_between_requests
from params import UserError

NEXT_PAGE_LINK = ".paginator .next > a"
ALBUM_ADDRESS = re.compile(r"/photos/album/\d+/$")
PUBLIC_AUDIENCE = re.compile(r"^\s*(所有人可见|公开|仅朋友可见)(?![一-鿿])")  # who see an album, as its page says


class Douban(Site):
    name = "douban"
    root = "https://www.douban.com/"
    login_url = "https://accounts.douban.com/passport/login"
    cookie_names = ("dbcl2", "ck")
    renditions = ("xl", "l", "m")
    referer = "https://www.douban.com/"
    block_marks = ("/misc/sorry",)
    challenge_marks = ("请输入验证码", "captcha-solution")
    audience = "into the album that you named, which is as private as you have made it"
    batch_size = 20
    longest_side = 2000
    per_minute = 20.0
    per_day = 1000
    _audience_checked = False  # who sees the album

    def account(self, page: Page) -> str:
        answer = visit(self, page, self.at("https://www.douban.com/mine/"))
        person = re.search(r"/people/([^/]+)/", page.url)
        if answer.status == 403 or person is None:
            raise NotSignedIn
        return person[1]

    def upload(self, page: Page, batch: Batch) -> dict[int, str]:
        self._refuse_what_others_see(page)
        visit(self, page, f"{self._album()}upload")
        with expect_responses(self, page, "/j/photos/addphoto_draft", len(batch.files)) as answers:
            page.locator('input[type="file"]').set_input_files(batch.files)
        photos: dict[int, str] = {}
        for position, told in read_file_responses(answers, batch.files).items():
            if not told.get("id"):
                raise explain_refusal(self, position, str(told.get("msg") or "no id, without a reason"))
            photos[position] = str(told["id"])
        batch.on_received(photos)
        boxes = page.locator('textarea[name^="desc_"]')
        boxes.nth(len(photos) - 1).wait_for()
        boxes.evaluate_all("(boxes, title) => boxes.forEach((box) => { box.value = title; })", batch.title)
        save = page.get_by_role("button", name=re.compile("^(保存|Save)$"))
        if len(photos) < len(batch.files):
            check_file_count(self, photos, boxes, save)
        with expect_arrival(self, page, re.compile(re.escape(self._album()) + "$")):
            save.click()
        return photos

    def read_back(self, page: Page, batch: Batch) -> dict[int, str]:
        if not batch.known:
            return {}  # only what has an id can be published
        ends = {batch.known[min(batch.known)], batch.known[max(batch.known)]}
        albums = [self._other_albums(page, photo) for photo in ends]
        found = batch.match_known(self._newest(page))
        if len(found) < len(batch.known) and (found or any(each is not None for each in albums)):
            found = batch.match_known(self._photos(page))
        elsewhere = [album for each in albums for album in each or []]
        if elsewhere and not found:
            raise UserError(
                f"douban: a batch that was cut off is not in the album {self.row.album}, and may be in {elsewhere[0]},"
                " to which its photo's page leads. Name that one in params.yaml again for one run, which settles it,"
                " then the new one."
            )
        return found

    def address(self, page: Page, remote_id: str, rendition: str) -> str:
        kind = "webp" if rendition == "l" else "jpg"
        return self.at(f"https://img1.doubanio.com/view/photo/{rendition}/public/p{remote_id}.{kind}")

    def delete(self, page: Page, remote_ids: Sequence[str], title: str) -> None:
        for photo in remote_ids:
            pause_between_requests(self)
            status = self._photo(page, photo)
            if status in (403, 404):
                self.account(page)  # raises where nobody is signed in any more
            if status == 404:
                continue  # it is gone already
            page.once("dialog", lambda dialog: dialog.accept())
            with expect_arrival(self, page, ALBUM_ADDRESS):  # an earlier run's may have been another
                page.get_by_text(re.compile("^(删除照片|Delete photo)$")).click()

    def _refuse_what_others_see(self, page: Page) -> None:
        """Raise UserError when the album's page says that others see it: asked once, for it takes a page."""
        if self._audience_checked:
            return
        self._visit_album(page, self._album())
        said = page.get_by_text(PUBLIC_AUDIENCE).filter(visible=True).all_inner_texts()
        if said:
            raise UserError(
                f"douban: others see the album {self.row.album}. Its page says: {said[0].strip()}. Make it 仅自己可见"
                " on the site, or name another one in params.yaml, then run again. Nothing went up."
            )
        self._audience_checked = True

    def _visit_album(self, page: Page, address: str) -> None:
        """Go to a page of the album; raise UserError where there is no such album."""
        status = visit(self, page, address).status
        if status == 403:
            raise NotSignedIn
        if status == 404:
            self.account(page)  # raises where nobody is signed in any more
            raise UserError(
                f"douban: this account has no album {self.row.album}. Name another one in params.yaml, then run again."
            )

    def _album(self) -> str:
        if not self.row.album:
            raise UserError(
                "douban needs the number of a private album, made by hand on the site: album in its row of params.yaml."
            )
        return self.at(f"https://www.douban.com/photos/album/{self.row.album}/")

    def _newest(self, page: Page) -> Iterator[str]:
        """Yield the photos of the album's first page and its last two, where the newest stand."""
        yield from self._shown(page, self._album())
        end = self._last_link(page, ".paginator > a")
        for _ in range(2):  # a batch is larger than a page
            if end:
                pause_between_requests(self)
                yield from self._shown(page, end)
                end = self._last_link(page, ".paginator .prev > a")

    def _other_albums(self, page: Page, photo: str) -> list[str] | None:
        """List the other albums to which a photo's page leads, where it leads not to ours; None: it has no page."""
        pause_between_requests(self)
        if self._photo(page, photo) == 404:
            return None
        links = read_property(self, page.locator('a[href*="/photos/album/"]'), "href")
        albums = re.findall(r"/photos/album/(\d+)", " ".join(links))
        return [] if self.row.album in albums else albums

    def _photos(self, page: Page) -> Iterator[str]:
        """Yield the album's photos, onward: one that comes in meanwhile moves none to a page that has been read."""
        onward: str | None = self._album()
        while onward:
            pause_between_requests(self)
            yield from self._shown(page, onward)
            onward = self._last_link(page, NEXT_PAGE_LINK)

    def _photo(self, page: Page, photo: str) -> int:
        """Go to a photo's page; return the status."""
        return visit(self, page, self.at(f"https://www.douban.com/photos/photo/{photo}/")).status

    def _shown(self, page: Page, address: str) -> list[str]:
        self._visit_album(page, address)
        page.locator(".photolst").wait_for(state="attached")  # else an empty page would say "never arrived"
        sources = read_property(self, page.locator(".photolst .photo_wrap .photolst_photo > img"), "src")
        return re.findall(r"/p(\d+)\.", " ".join(sources))

    def _last_link(self, page: Page, selector: str) -> str | None:
        """Return where the last of such links leads to; None when there is none."""
        links = read_property(self, page.locator(selector), "href")
        return links[-1] if links else None
