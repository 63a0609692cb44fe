"""Douban's sandbox: drafts on the upload page, published into the one private album 1000001."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from html import escape
from typing import ClassVar

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from collect.sandbox import images
from collect.sandbox.faults import Faults
from collect.sandbox.records import Album, Session, random_number
from collect.sandbox.site import Cookie, Site
from collect.sandbox.store import Store

ALBUM = Album("1000001", "round trips", "made by hand", "仅自己可见")
PAGE = 18  # photos
BREAK = '<span class="break">…</span>'  # between the numbers of pages


class Sandbox(Site):
    name = "douban"
    title = "豆瓣 Douban"
    language = "zh"
    navigation = f'<a href="/mine/">我的豆瓣</a><a href="/photos/album/{ALBUM.key}/">我的相册</a>'
    login_path = "/passport/login"
    landing = "/mine/"
    session_cookie = "dbcl2"
    renditions: ClassVar = {"xl": "fit:2000", "l": "fit:1200", "m": "fit:600"}
    formats: ClassVar = {"jpg": "jpeg:75:420", "webp": "webp:80"}
    keeps_profile = True
    files = ("/view/photo/",)
    spared = (login_path, "/misc/sorry")

    def __init__(self, store: Store, codec: str | None, faults: Faults) -> None:
        super().__init__(store, codec, faults)
        store.add_album(ALBUM)

    def routes(self) -> list[Route]:
        return [
            Route("/", self.home),
            Route("/mine/", self.mine),
            Route("/people/{account}/", self.person),
            Route("/photos/album/{album}/", self.album_page),
            Route("/photos/album/{album}/upload", self.upload_page),
            Route("/photos/album/{album}/upload", self.publish, methods=["POST"]),
            Route("/j/photos/addphoto_draft", self.add_draft, methods=["POST"]),
            Route("/photos/photo/{photo}/", self.photo_page),
            Route("/photos/photo/{photo}/delete", self.delete, methods=["POST"]),
            Route("/misc/sorry", self.sorry),
            Route("/view/photo/{rendition}/public/p{photo}.{extension}", self.picture),
        ]

    def cookies(self, session: Session) -> Iterator[Cookie]:
        yield Cookie("dbcl2", session.token)
        yield Cookie("ck", session.csrf, script=True)

    def home(self, request: Request) -> Response:
        door = "" if self.session(request) else f'<p><a class="button main" href="{self.login_path}">登录</a></p>'
        return self.page("首页", f"<h1>豆瓣</h1>{door}")

    def mine(self, request: Request) -> Response:
        if not self.session(request):
            raise HTTPException(403, "没有访问权限")
        return RedirectResponse(f"/people/{self.account}/", 302)

    def person(self, request: Request) -> Response:
        if request.path_params["account"] != self.account:
            raise HTTPException(404)
        if not self.session(request):
            return self.page("我", "<h1>豆瓣成员</h1>")
        return self.page("我", f'<h1>我的相册</h1><p><a href="/photos/album/{ALBUM.key}/">{ALBUM.name}</a></p>')

    def album(self, request: Request) -> Album:
        """Find the album of the path; 404 when there is none."""
        album = self.store.album(request.path_params["album"])
        if album is None:
            raise HTTPException(404, f"没有这个相册: the sandbox has one album, {ALBUM.key}.")
        return album

    def album_page(self, request: Request) -> Response:
        album = self.album(request)
        if not self.session(request):
            raise HTTPException(403, "没有访问权限")
        start = request.query_params.get("m_start", "0")
        first = int(start) if start.isdecimal() and len(start) < 9 else 0
        entries = self.store.entries(album.key)
        photos = "".join(
            f'<div class="photo_wrap"><a href="/photos/photo/{entry.key}/" class="photolst_photo"'
            f' title="{escape(entry.description)}">'
            f'<img src="{self.address(request, entry.key, "m")}" loading="lazy"></a>'
            f'<div class="pl">{escape(entry.description)}</div></div>'
            for entry in self.faults.spoil_page(entries[first : first + PAGE])
        )
        last = max(0, len(entries) - 1) // PAGE
        pages = ""
        for each in range(last + 1):
            if each == first // PAGE:
                pages += f'<span class="thispage">{each + 1}</span>'
            elif min(each, last - each) < 2 or abs(each - first // PAGE) < 5:
                pages += f'<a href="?m_start={each * PAGE}">{each + 1}</a>'
            elif not pages.endswith(BREAK):
                pages += BREAK
        back = f'<a href="?m_start={first - PAGE}">&lt;前页</a>' if first >= PAGE else "&lt;前页"
        following = f'<a href="?m_start={first + PAGE}">后页&gt;</a>' if first + PAGE < len(entries) else "后页&gt;"
        return self.page(
            album.name,
            f'<h1>{escape(album.name)} <span class="faint">{album.audience} · {len(entries)}张照片</span></h1>'
            f'<p><a class="button" href="/photos/album/{album.key}/upload">添加照片</a></p>'
            f'<div class="photolst clearfix">{photos}</div><div class="paginator"><span class="prev">{back}</span>'
            f'{pages}<span class="next">{following}</span></div>',
        )

    def photo_page(self, request: Request) -> Response:
        photo, session = request.path_params["photo"], self.session(request)
        if session is None or photo not in [entry.key for entry in self.store.entries(ALBUM.key)]:
            raise HTTPException(404)
        picture = f'<img class="large" src="{self.address(request, photo, "l")}">'
        return self.page(
            "照片",
            f'<h1>照片</h1><p><a href="/photos/album/{ALBUM.key}/">{ALBUM.name}</a></p>{picture}'
            f'<form id="delete" method="post" action="/photos/photo/{photo}/delete">'
            f'<input type="hidden" name="ck" value="{session.csrf}"><button>删除照片</button></form>',
        )

    async def delete(self, request: Request) -> Response:
        session = self.session(request)
        async with request.form() as form:
            if session is None or not self.matches_secret(form.get("ck"), session.csrf):
                raise HTTPException(403, "没有访问权限: ck is missing or wrong.")
        if not await run_in_threadpool(self.store.delete_photo, request.path_params["photo"]):
            raise HTTPException(404)
        return RedirectResponse(f"/photos/album/{ALBUM.key}/", 302)

    def address(self, request: Request, photo: str, rendition: str) -> str:
        return f"{request.base_url}view/photo/{rendition}/public/p{photo}.webp"

    def picture(self, request: Request) -> Response:
        self.require_referer(request, 418)
        path = request.path_params
        return self.file(request, path["photo"], path["rendition"], path["extension"])

    def upload_page(self, request: Request) -> Response:
        album, session = self.album(request), self.session(request)
        if session is None:
            return self.redirect_to_sign_in()
        return self.page(
            "上传照片",
            f"<h1>上传照片 - {escape(album.name)}</h1>"
            f'<script>var UPLOAD = {{UPLOAD_AUTH_TOKEN: "{self.upload_token(session, album.key)}",'
            f' ALBUM_ID: "{album.key}"}};</script>'
            '<form id="upload" method="post"><label>选择照片'
            '<input type="file" name="file" accept="image/*" multiple></label>'
            f'<input type="hidden" name="ck" value="{session.csrf}"><ul class="photos"></ul>'
            '<button class="main" disabled>保存</button></form>',
        )

    def upload_token(self, session: Session, album: str) -> str:
        return hmac.new(self.secret, f"{session.token} {album}".encode(), "sha256").hexdigest()

    async def add_draft(self, request: Request) -> Response:
        session = self.session(request)
        if session is None:
            return JSONResponse({"r": 1, "msg": "请先登录"}, 403)
        async with request.form() as form:
            album, file = str(form.get("albumid")), form.get("file")
            token = self.upload_token(session, album)
            if not self.matches_secret(form.get("ck"), session.csrf) or not self.matches_secret(
                form.get("upload_auth_token"), token
            ):
                return JSONResponse({"r": 1, "msg": "ck or upload_auth_token is wrong"}, 403)
            if self.store.album(album) is None or form.get("category") != "photo" or not isinstance(file, UploadFile):
                return JSONResponse({"r": 1, "msg": "albumid, category or file is missing or wrong"}, 400)
            data = await file.read(images.MAX_UPLOAD_BYTES + 1)
        return await run_in_threadpool(self.take_upload, data)

    def take_upload(self, data: bytes) -> Response:
        try:
            images.decode_upload(data)
        except images.NotAnImage as error:
            return JSONResponse({"r": 1, "msg": f"上传失败: {error}"})
        photo = random_number()
        self.add_photos({photo: data})
        return JSONResponse({"id": photo})

    async def publish(self, request: Request) -> Response:
        album, session = self.album(request), self.session(request)
        async with request.form() as form:
            if session is None or not self.matches_secret(form.get("ck"), session.csrf):
                raise HTTPException(403, "没有访问权限: ck is missing or wrong.")
            descriptions = {
                name.removeprefix("desc_"): str(text) for name, text in form.multi_items() if name.startswith("desc_")
            }
        await run_in_threadpool(self.store.publish, album.key, descriptions)
        return RedirectResponse(f"/photos/album/{album.key}/", 302)

    def captcha(self) -> Response:
        return self.page(
            "验证", '<h1>请输入验证码</h1><p class="captcha">Nothing here solves this sandbox\'s captcha.</p>'
        )

    def block(self) -> Response:
        return RedirectResponse("/misc/sorry", 302)

    def sorry(self, _request: Request) -> Response:
        return self.page("403", "<h1>检测到有异常请求从你的 IP 发出</h1>")
