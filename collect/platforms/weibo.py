"""Weibo: a batch is one post, for its owner's eyes only (docs/platforms.md; never run live)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from playwright.sync_api import Page
from pydantic import Field

from collect.browser.navigation import visit
from collect.browser.responses import (
    Answer,
    check_file_count,
    expect_responses,
    parse_answer,
    read_file_responses,
    request_data,
)
from collect.errors import NotSignedIn, PageChanged, SubmitFailed
from collect.platform import TEMPORARY_REFUSAL, Batch, Site, explain_refusal
from collect.redaction import redact_message
from collect.retry import pause_between_requests, retry_read
from params import PlatformRow, UserError


class Picture(Answer):
    pid: str


class UploadedPicture(Answer):
    pic: Picture


class WallPicture(Picture):
    mid: str  # of the post


class WallPage(Answer):
    pictures: list[WallPicture] = Field(alias="list")
    since_id: str | None


class Wall(Answer):
    data: WallPage


class Weibo(Site):
    name = "weibo"
    root = "https://weibo.com/"
    login_url = "https://passport.weibo.com/sso/signin"
    guest_paths = ("/newlogin", "/visitor/visitor")
    cookie_names = ("SUB", "SUBP")
    renditions = ("large", "mw2000", "mw690", "orj360", "bmiddle", "thumb150")
    referer = "https://weibo.com/"
    challenge_marks = ("请输入验证码", "/signin/captcha")
    batch_size = 9
    per_minute = 9.0
    per_day = 600

    def __init__(self, row: PlatformRow, *, origin: str | None = None) -> None:
        super().__init__(row, origin=origin)
        self._posts: dict[str, set[str]] = {}  # the pictures of each, when the album was last read

    def account(self, page: Page) -> str:
        answer = visit(self, page, self.at(self.root))
        if number := answer.headers.get("x-log-uid"):  # links to people, on a page full of posts, may be to others
            return number
        if retry_read(self, partial(self._wall, page, "0", "0")).get("ok") == -100:
            raise NotSignedIn
        raise PageChanged(
            "weibo no longer says who is signed in (header X-Log-Uid of its first page). Mend account() in"
            " collect/platforms/weibo.py; docs/platforms.md tells what is known."
        )

    def upload(self, page: Page, batch: Batch) -> dict[int, str]:
        visit(self, page, self.at(self.root))
        page.get_by_placeholder(re.compile("有什么新鲜事想分享给大家|What's on your mind")).fill(batch.title)
        page.get_by_role("button", name=re.compile("^(公开|Public)$")).click()
        page.get_by_text(re.compile("^(仅自己可见|Only me)$")).click()
        with expect_responses(self, page, "/interface/upload.php", len(batch.files)) as answers:
            page.locator('input[type="file"]').set_input_files(batch.files)
        pids: dict[int, str] = {}
        if any("<data>100006</data>" in each.text for each in answers):
            raise NotSignedIn
        for position, told in read_file_responses(answers, batch.files).items():
            if not told.get("ret"):
                raise explain_refusal(self, position, str(told.get("msg") or "ret: false, without a reason"))
            pids[position] = parse_answer(self, told, UploadedPicture).pic.pid
        batch.on_received(pids)
        attached = page.get_by_title(re.compile("^(删除|Delete)$"))
        attached.nth(len(pids) - 1).wait_for()
        send = page.get_by_role("button", name=re.compile("^(发送|Send)$"))
        if len(pids) < len(batch.files):
            check_file_count(self, pids, attached, send)
        page.get_by_role("button", name=re.compile("^(仅自己可见|Only me)$")).wait_for()  # what was chosen holds
        with expect_responses(self, page, "/ajax/statuses/update", 1) as posted:
            send.click()
        answer = posted[0].json()
        if answer.get("ok") == -100:
            raise NotSignedIn
        if answer.get("ok") != 1:
            said = str(answer.get("msg") or "")
            if TEMPORARY_REFUSAL.search(said):  # and so rejects no image
                raise SubmitFailed(f"weibo takes no post for now. It says: {redact_message(said)}")
            raise SubmitFailed("weibo refuses the post.", said)
        return pids

    def read_back(self, page: Page, batch: Batch) -> dict[int, str]:
        if not batch.known:
            return {}  # only what has an id can be published
        return batch.match_known(picture.pid for picture in self._album(page))

    def address(self, page: Page, remote_id: str, rendition: str) -> str:
        return self.at(f"https://wx1.sinaimg.cn/{rendition}/{remote_id}.jpg")

    def delete(self, page: Page, remote_ids: Sequence[str], title: str) -> None:
        if not set(remote_ids) <= {pid for pids in self._posts.values() for pid in pids}:
            self._posts = {}  # of the whole album, which takes long to read: once for all batches
            for picture in self._album(page):
                self._posts.setdefault(picture.mid, set()).add(picture.pid)
        posts = {post: pids for post, pids in self._posts.items() if pids & set(remote_ids)}
        if others := [post for post, pids in posts.items() if not pids <= set(remote_ids)]:
            raise UserError(f"weibo: the post {others[0]} holds other pictures too; delete it by hand.")
        for post in posts:
            pause_between_requests(self)
            del self._posts[post]  # also when its answer is lost: what became of it, the album tells
            with expect_responses(self, page, "/ajax/statuses/destroy", 1) as deleted:
                page.locator("body").evaluate(DELETE_POST_SCRIPT, post)
            answer = deleted[0].json()
            if answer.get("ok") == -100:
                raise NotSignedIn
            if answer.get("ok") != 1:
                said = redact_message(str(answer.get("msg") or "it does not say why"))
                raise UserError(f"weibo does not delete a post: {said}")

    def _album(self, page: Page) -> Iterator[WallPicture]:
        uid, cursor = self.account(page), "0"
        while True:
            answer = retry_read(self, partial(self._wall, page, uid, cursor))
            if answer.get("ok") != 1:
                raise NotSignedIn
            wall = parse_answer(self, answer, Wall).data
            yield from wall.pictures
            cursor = wall.since_id or "0"
            if cursor == "0":
                return
            pause_between_requests(self)

    def _wall(self, page: Page, uid: str, cursor: str) -> dict[str, Any]:
        return request_data(
            self,
            page,
            self.at("https://weibo.com/ajax/profile/getImageWall"),
            params={"uid": uid, "sinceid": cursor},
            headers={"Referer": self.at(f"https://weibo.com/u/{uid}?tabtype=album")},
        ).json()


DELETE_POST_SCRIPT = """(_, mid) => {
  const token = document.cookie.split('; ').find((each) => each.startsWith('XSRF-TOKEN='));
  fetch('/ajax/statuses/destroy', {
    method: 'POST',
    headers: { 'X-XSRF-TOKEN': token ? decodeURIComponent(token.slice('XSRF-TOKEN='.length)) : '' },
    body: new URLSearchParams({ id: mid }),
  }).catch(() => {});
}"""
