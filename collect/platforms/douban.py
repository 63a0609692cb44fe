"""Douban: a batch goes into a private album that its owner made by hand (docs/platforms.md; never run live)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from playwright.sync_api import Page

from collect.answers import expect_answer
from collect.platform import Batch, Refused, SignedOut, Site
from params import UserError


class Douban(Site):
    name = "douban"
    root = "https://www.douban.com/"
    login_url = "https://accounts.douban.com/passport/login"
    cookie_names = ("dbcl2", "ck")
    renditions = ("xl", "l", "m")
    referer = "https://www.douban.com/"
    block_marks = ("/misc/sorry",)
    batch_size = 20
    interval = 20.0

    def account(self, page: Page) -> str:
        answer = page.goto(self.at("https://www.douban.com/mine/"))
        person = re.search(r"/people/([^/]+)/", page.url)
        if answer is None or answer.status == 403 or person is None:
            raise SignedOut
        return person[1]

    def upload(self, page: Page, batch: Batch) -> list[str]:
        page.goto(f"{self._album()}upload")
        photos: list[str] = []
        for position, file in enumerate(batch.files):
            with expect_answer(page, "/j/photos/addphoto_draft") as uploaded:
                page.locator('input[type="file"]').set_input_files(file)
            if not uploaded.json().get("id"):
                raise Refused(position, str(uploaded.json().get("msg") or "no id, without a reason"))
            photos.append(str(uploaded.json()["id"]))
            batch.received(position, photos[-1])
            page.locator(f'textarea[name="desc_{photos[-1]}"]').fill(batch.title)
        page.get_by_role("button", name="保存").click()
        page.wait_for_url(self._album())
        return photos

    def read_back(self, page: Page, batch: Batch) -> dict[int, str]:
        shown = set(self._photos(page))
        return {position: photo for position, photo in batch.known.items() if photo in shown}

    def address(self, page: Page, remote_id: str) -> str:
        kind = "webp" if self.rendition == "l" else "jpg"
        return self.at(f"https://img1.doubanio.com/view/photo/{self.rendition}/public/p{remote_id}.{kind}")

    def _album(self) -> str:
        if not self.row.album:
            raise UserError(
                "douban needs the number of a private album, made by hand on the site: album in its row of params.yaml."
            )
        return self.at(f"https://www.douban.com/photos/album/{self.row.album}/")

    def _photos(self, page: Page) -> Iterator[str]:
        page.goto(self._album())
        while True:
            page.locator(".photolst").wait_for(state="attached")  # else an empty page would say "never arrived"
            for image in page.locator(".photolst .photo_wrap .photolst_photo > img").all():
                if photo := re.search(r"/p(\d+)\.", image.get_attribute("src") or ""):
                    yield photo[1]
            following = page.locator(".paginator .next > a")
            if not following.count():
                return
            following.click()
            page.wait_for_load_state()
