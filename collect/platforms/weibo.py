"""Weibo: a batch is one post, for its owner's eyes only (docs/platforms.md; never run live)."""

from __future__ import annotations

from collections.abc import Iterator

from playwright.sync_api import Page

from collect.answers import Answer, expect_answer
from collect.platform import Batch, Refused, SignedOut, Site
from params import UserError


class Weibo(Site):
    name = "weibo"
    root = "https://weibo.com/"
    login_url = "https://passport.weibo.com/sso/signin"
    cookie_names = ("SUB", "SUBP")
    renditions = ("large", "mw2000", "mw690", "orj360", "bmiddle", "thumb150")
    referer = "https://weibo.com/"
    batch_size = 9
    interval = 30.0

    def account(self, page: Page) -> str:
        page.goto(self.at(self.root))
        if "/sso/signin" in page.url:
            raise SignedOut
        href = page.locator('a[href^="/u/"]').first.get_attribute("href") or ""
        return href.removeprefix("/u/").partition("?")[0]

    def upload(self, page: Page, batch: Batch) -> list[str]:
        page.goto(self.at(self.root))
        page.get_by_placeholder("有什么新鲜事想分享给大家？").fill(batch.title)
        page.get_by_role("button", name="公开").click()
        page.get_by_text("仅自己可见").click()
        pids = []
        for position, file in enumerate(batch.files):
            with expect_answer(page, "/interface/upload.php") as uploaded:
                page.locator('input[type="file"]').set_input_files(file)
            if "<data>100006</data>" in uploaded.text:
                raise SignedOut
            if not uploaded.json().get("ret"):
                raise Refused(position, str(uploaded.json().get("msg") or "ret: false, without a reason"))
            pids.append(uploaded.json()["pic"]["pid"])
            batch.received(position, pids[-1])
        page.get_by_title("删除").nth(len(pids) - 1).wait_for()
        with expect_answer(page, "/ajax/statuses/update") as posted:
            page.get_by_role("button", name="发送").click()
        if posted.json().get("ok") != 1:
            raise UserError(f"weibo refuses the post: {posted.json().get('msg') or 'it does not say why'}")
        return pids

    def read_back(self, page: Page, batch: Batch) -> dict[int, str]:
        shown = set(self._album(page))
        return {position: pid for position, pid in batch.known.items() if pid in shown}

    def address(self, page: Page, remote_id: str) -> str:
        return self.at(f"https://wx1.sinaimg.cn/{self.rendition}/{remote_id}.jpg")

    def _album(self, page: Page) -> Iterator[str]:
        uid, cursor = self.account(page), "0"
        while True:
            wall = page.request.get(
                self.at("https://weibo.com/ajax/profile/getImageWall"),
                params={"uid": uid, "sinceid": cursor},
                headers={"Referer": self.at(f"https://weibo.com/u/{uid}?tabtype=album")},
            )
            answer = Answer(wall.status, wall.text()).json()
            if answer.get("ok") != 1:
                raise SignedOut
            yield from (image["pid"] for image in answer["data"]["list"])
            cursor = str(answer["data"]["since_id"] or 0)
            if cursor == "0":
                return
