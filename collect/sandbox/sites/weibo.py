"""Weibo's sandbox: pictures uploaded from the composer, posted up to nine at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import escape
from typing import ClassVar

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from collect.sandbox import images
from collect.sandbox.records import Album, Session, random_number
from collect.sandbox.site import Cookie, Site

IMAGES_A_POST = 9
WALL = 24  # images a page
FEED = 10  # posts
VISIBLE = {"0": "公开", "1": "仅自己可见", "6": "好友圈"}


class Sandbox(Site):
    name = "weibo"
    title = "微博 Weibo"
    language = "zh"
    navigation = '<a href="/">首页</a><a href="/u/{account}">我的主页</a>'
    login_path = "/sso/signin"
    landing = "/"
    session_cookie = "SUB"
    renditions: ClassVar = {
        "large": "width:2048",
        "mw2000": "width:2000",
        "mw690": "width:690",
        "orj360": "width:360",
        "bmiddle": "width:440",
        "thumb150": "width:150",
    }
    formats: ClassVar = {"jpg": "jpeg:85:444:optimised"}
    files = tuple(f"/{rendition}/" for rendition in renditions)
    spared = (login_path,)
    without = ("block",)  # 418 does that

    def routes(self) -> list[Route]:
        return [
            Route("/", self.home),
            Route("/u/{account}", self.profile),
            Route("/ajax/profile/getImageWall", self.image_wall),
            Route("/ajax/statuses/update", self.post, methods=["POST"]),
            Route("/ajax/statuses/destroy", self.destroy, methods=["POST"]),
            Route("/interface/upload.php", self.upload, methods=["POST"]),
            Route("/{rendition}/{photo}.jpg", self.picture),
        ]

    def cookies(self, session: Session) -> Iterator[Cookie]:
        yield Cookie("SUB", session.token)
        yield Cookie("SUBP", random_number())
        yield Cookie("XSRF-TOKEN", session.csrf, script=True)

    def home(self, request: Request) -> Response:
        if not self.session(request):
            return self.redirect_to_sign_in()
        posts = "".join(map(self.shown, self.store.albums()[:FEED]))
        answer = self.page(
            "首页",
            '<section id="composer" class="_wrap_3oqj1_4"><textarea rows="3"'
            ' placeholder="有什么新鲜事想分享给大家？"></textarea><div class="_pics_19xm2_7"></div>'
            '<p role="alert"></p><div class="_bar_2f0zk_9"><label class="_tool_h8t1d_2">图片'
            '<input type="file" accept="image/*" multiple></label><span class="_menu_x51rv_3">'
            '<button type="button" aria-haspopup="menu" data-visible="0">公开</button></span>'
            '<button type="button" class="main _send_7bq0c_5" disabled>发送</button></div></section>'
            f'<section id="feed">{posts}</section>',
        )
        answer.headers["X-Log-Uid"] = self.account
        return answer

    def shown(self, post: Album) -> str:
        """Show a post in the feed."""
        pictures = "".join(
            f'<img src="/orj360/{entry.key}.jpg" alt="" loading="lazy">' for entry in self.store.entries(post.key)
        )
        return (
            f'<article class="_feed_9dkk2_1" data-mid="{post.key}"><a href="/u/{self.account}">我</a>'
            f' <i class="_eye_k2m4w_8" title="{VISIBLE[post.audience]}"></i><p>{escape(post.name)}</p>'
            f'<div class="_pics_19xm2_7">{pictures}</div></article>'
        )

    def profile(self, request: Request) -> Response:
        if not self.session(request):
            return self.redirect_to_sign_in()
        if request.path_params["account"] != self.account:
            raise HTTPException(404, "用户不存在")
        tabs = f'<p><a href="/u/{self.account}">微博</a> · <a href="/u/{self.account}?tabtype=album">相册</a></p>'
        if request.query_params.get("tabtype") == "album":
            wall = f'<div id="wall" class="_wall_p0s6e_2" data-uid="{self.account}"></div>'
            return self.page("相册", f"<h1>我的相册</h1>{tabs}{wall}<button id='more' hidden>加载更多</button>")
        return self.page("我的主页", f"<h1>我的主页</h1>{tabs}{''.join(map(self.shown, self.store.albums()[:FEED]))}")

    def image_wall(self, request: Request) -> Response:
        if not self.session(request):
            return JSONResponse({"ok": -100, "url": self.login_path})
        cursor = request.query_params.get("sinceid", "0")
        before = int(cursor) if re.fullmatch("[0-9]{1,15}", cursor) else 0
        mine = request.query_params.get("uid") == self.account
        entries = self.store.newest(WALL + 1, before) if mine else []
        since = entries[WALL - 1].id if len(entries) > WALL else 0
        wall = [{"pid": entry.key, "mid": entry.album} for entry in self.faults.spoil_page(entries[:WALL])]
        return JSONResponse({"ok": 1, "data": {"since_id": since, "list": wall}})

    def picture(self, request: Request) -> Response:
        self.require_referer(request, 403)
        return self.file(request, request.path_params["photo"], request.path_params["rendition"], "jpg")

    async def upload(self, request: Request) -> Response:
        if not self.session(request):
            return Response("<data>100006</data>", media_type="text/xml")
        data = b""
        async for chunk in request.stream():
            if len(data) <= images.MAX_UPLOAD_BYTES:
                data += chunk
        return await run_in_threadpool(self.take_upload, data)

    def take_upload(self, data: bytes) -> Response:
        try:
            image = images.decode_upload(data)
        except images.NotAnImage as error:
            return JSONResponse({"ret": False, "errno": -4, "msg": f"上传失败: {error}"})
        pid = f"{int(self.account):08x}ly1{random_number()}"
        self.add_photos({pid: data})
        size = {"width": image.width, "height": image.height, "size": len(data)}
        return JSONResponse({"ret": True, "pic": {"pid": pid, **size}})

    async def post(self, request: Request) -> Response:
        session = self.session(request)
        if session is None:
            return JSONResponse({"ok": -100, "url": self.login_path})
        if not self.matches_secret(request.headers.get("X-XSRF-TOKEN"), session.csrf):
            return JSONResponse({"ok": 0, "msg": "X-XSRF-TOKEN is missing or wrong"}, 403)
        async with request.form() as form:
            fields = {name: str(form.get(name) or "") for name in ("content", "pic_id", "visible")}
        return await run_in_threadpool(self.publish, fields["content"], fields["pic_id"], fields["visible"] or "0")

    def publish(self, content: str, pic_id: str, visible: str) -> Response:
        try:
            pids = json.loads(pic_id or "[]")
        except ValueError:
            pids = None
        if not isinstance(pids, list) or not all(isinstance(pid, str) and self.store.photo(pid) for pid in pids):
            return JSONResponse({"ok": 0, "msg": "pic_id is no JSON list of uploaded pictures"})
        if len(pids) > IMAGES_A_POST or visible not in VISIBLE or not (pids or content.strip()):
            return JSONResponse({"ok": 0, "msg": "a post has text or 1 to 9 pictures, and is visible 0, 1 or 6"})
        mid = random_number()
        self.store.add_album(Album(mid, content, "", visible), pids)
        return JSONResponse({"ok": 1, "data": {"idstr": mid, "pic_ids": pids}})

    async def destroy(self, request: Request) -> Response:
        session = self.session(request)
        if session is None:
            return JSONResponse({"ok": -100, "url": self.login_path})
        if not self.matches_secret(request.headers.get("X-XSRF-TOKEN"), session.csrf):
            return JSONResponse({"ok": 0, "msg": "X-XSRF-TOKEN is missing or wrong"}, 403)
        async with request.form() as form:
            mid = form.get("id")
        if mid is None:
            try:
                mid = json.loads(await request.body())["id"]
            except (ValueError, TypeError, LookupError):
                return JSONResponse({"ok": 0, "msg": "id is missing"})
        if not await run_in_threadpool(self.store.delete_album, str(mid)):
            return JSONResponse({"ok": 0, "msg": "微博不存在或已删除"})
        return JSONResponse({"ok": 1})

    def captcha(self) -> Response:
        return self.page(
            "验证", '<h1>请输入验证码</h1><p class="captcha">Nothing here solves this sandbox\'s captcha.</p>'
        )
