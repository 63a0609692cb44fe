"""Facebook's sandbox: albums with an audience, and files under signed addresses that expire."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterator
from html import escape
from typing import ClassVar
from urllib.parse import quote

from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from collect import codecs
from collect.sandbox import images
from collect.sandbox.faults import Faults
from collect.sandbox.records import Album, Entry, Session, random_number
from collect.sandbox.site import Cookie, Site
from collect.sandbox.store import Store

PAGE = 24  # photos
MOST_FILES = 1000  # in one album
LIFETIME = 24 * 3600  # seconds that an address is good for
AUDIENCES = ("Public", "Friends", "Only me")
PROFILE = Album("1", "Profile pictures", "", "Public")  # which every account has
FULL, THUMBNAIL = "dst-jpg_tt6", "dst-jpg_s280x280_tt6"
SMALL = 512  # pixels; images up to this side get a lower quality when they are busy
BUSY = 0.48  # bytes a pixel at quality 92


class Sandbox(Site):
    name = "facebook"
    title = "Facebook"
    navigation = (
        '<a href="/">Home</a><a href="/me/photos_albums">Albums</a><a href="/media/set/create">Create album</a>'
    )
    login_path = "/login/"
    landing = "/"
    session_cookie = "xs"
    renditions: ClassVar = {FULL: "fit:2048", THUMBNAIL: "fit:280"}
    formats: ClassVar = {"jpg": "jpeg:92:420:progressive"}
    files = ("/v/t39.30808-6/",)
    spared = (login_path,)

    def __init__(self, store: Store, codec: str | None, faults: Faults) -> None:
        super().__init__(store, codec, faults)
        store.add_album(PROFILE)

    def routes(self) -> list[Route]:
        return [
            Route("/", self.home),
            Route("/me/photos_albums", self.albums_page),
            Route("/media/set/create", self.create_page),
            Route("/media/set/create", self.create, methods=["POST"]),
            Route("/media/set/", self.album_page),
            Route("/media/set/more", self.more),
            Route("/media/set/delete", self.delete, methods=["POST"]),
            Route("/photo/", self.photo_page),
            Route("/v/t39.30808-6/{photo}_n.jpg", self.picture),
        ]

    def cookies(self, session: Session) -> Iterator[Cookie]:
        yield Cookie("c_user", self.account, script=True)
        yield Cookie("xs", session.token)

    def encode(self, image: Image.Image, size: str, codec: str) -> bytes:
        """Encode progressively, with the `FBMD` mark; small busy images get less than quality 92; thumbnails plainly.

        The quality is the highest of 92, 89, … 71 that keeps an image of at most 512x512 pixels within 0.48
        bytes a pixel, and 71 if none does. Most photos at 224x224 keep 92.
        """
        if size == self.renditions[THUMBNAIL]:
            return codecs.encode(image, f"{size}+jpeg:75:420")  # what pages show small is made in no time
        for quality in range(92, 70, -3):
            data = codecs.encode(image, f"{size}+{codec.replace(':92', f':{quality}')}")
            if max(image.size) > SMALL or len(data) <= BUSY * image.width * image.height:
                break
        return data[:20] + _app13(data) + data[20:]  # after SOI and JFIF's APP0

    def home(self, request: Request) -> Response:
        if not self.session(request):
            return self.redirect_to_sign_in()
        return self.page("Home", '<h1>Home</h1><p><a class="button main" href="/media/set/create">Create album</a></p>')

    def albums_page(self, request: Request) -> Response:
        if not self.session(request):
            return self.redirect_to_sign_in()
        albums = "".join(
            f'<li class="x1lliihq"><a href="/media/set/?set=a.{album.key}">{escape(album.name)}</a>'
            f' <span class="faint">{album.audience}</span></li>'
            for album in self.store.albums()
        )
        return self.page("Albums", f'<h1>Albums</h1><ul class="x78zum5">{albums}</ul>')

    def create_page(self, request: Request) -> Response:
        session = self.session(request)
        if session is None:
            return self.redirect_to_sign_in()
        return self.page(
            "Create album",
            f'<h1>Create album</h1><form id="create"><input type="hidden" name="fb_dtsg" value="{session.csrf}">'
            '<p><label>Upload photos<input type="file" accept="image/*" multiple></label></p>'
            '<div class="x1n2onr6"></div><p role="alert"></p><div class="x9f619"></div>'
            '<p><button type="button" aria-haspopup="dialog">Friends</button>'
            ' <button class="main" disabled>Post</button></p></form>',
        )

    async def create(self, request: Request) -> Response:
        session = self.session(request)
        if session is None:
            return self.redirect_to_sign_in()
        async with request.form(max_files=MOST_FILES) as form:
            if not self.matches_secret(form.get("fb_dtsg"), session.csrf):
                return JSONResponse({"error": 1357004, "msg": "fb_dtsg is missing or wrong"}, 403)
            return await run_in_threadpool(self.take_upload, form)

    def take_upload(self, form: FormData) -> Response:
        files = [file for _, file in form.multi_items() if isinstance(file, UploadFile)]
        audience = str(form.get("audience"))
        if not files or audience not in AUDIENCES:
            return JSONResponse({"error": 1, "msg": f"an album has photos and an audience, {', '.join(AUDIENCES)}"})
        uploads = {}
        for file in files:
            data = file.file.read(images.MAX_UPLOAD_BYTES + 1)
            try:
                images.decode_upload(data)
            except images.NotAnImage as error:
                return JSONResponse({"error": 1366046, "msg": f"Can't upload {file.filename}: {error}"})
            uploads[random_number()] = data
        album = Album(
            random_number(),
            str(form.get("album_name") or "Untitled album"),
            str(form.get("description") or ""),
            audience,
        )
        self.add_photos(uploads)
        self.store.add_album(album, list(uploads))
        return JSONResponse({"album": f"a.{album.key}"})

    def album(self, request: Request) -> Album:
        """Find the album of the query; 404 when there is none."""
        album = self.store.album(request.query_params.get("set", "").removeprefix("a."))
        if album is None:
            raise HTTPException(404, "This content isn't available right now")
        return album

    def album_page(self, request: Request) -> Response:
        session = self.session(request)
        if session is None:
            return self.redirect_to_sign_in()
        album = self.album(request)
        entries = self.store.entries(album.key)
        tiles = "".join(map(self.tile, self.faults.spoil_page(entries[:PAGE])))
        delete = (
            '<p><button type="button" id="delete" aria-haspopup="dialog">Delete album</button></p>'
            '<dialog aria-label="Delete album?"><h2>Delete album?</h2><p>Its photos go with it.</p>'
            '<form method="post" action="/media/set/delete">'
            f'<input type="hidden" name="fb_dtsg" value="{session.csrf}">'
            f'<input type="hidden" name="set" value="a.{album.key}"><button class="main">Delete album</button></form>'
            "</dialog>"
        )
        return self.page(
            album.name,
            f'<h1>{escape(album.name)}</h1><p>{escape(album.description)}</p><p class="faint">{album.audience}'
            f' · {len(entries)} photos</p>{delete}<div id="photos" class="xrvj5dj" data-set="a.{album.key}"'
            f' data-next="{PAGE}">{tiles}</div>'
            f"<div id=end{' hidden' if len(entries) <= PAGE else ''}>Loading…</div>",
        )

    def more(self, request: Request) -> Response:
        """Answer the album page's script with the tiles after the first so many."""
        if not self.session(request):
            return self.redirect_to_sign_in()
        after = request.query_params.get("after", "")
        first = int(after) if after.isdecimal() and len(after) < 9 else 0
        entries = self.store.entries(self.album(request).key)
        tiles = "".join(map(self.tile, self.faults.spoil_page(entries[first : first + PAGE])))
        return JSONResponse({"html": tiles, "next": first + PAGE, "more": first + PAGE < len(entries)})

    async def delete(self, request: Request) -> Response:
        session = self.session(request)
        if session is None:
            return self.redirect_to_sign_in()
        async with request.form() as form:
            if not self.matches_secret(form.get("fb_dtsg"), session.csrf):
                return JSONResponse({"error": 1357004, "msg": "fb_dtsg is missing or wrong"}, 403)
            album = str(form.get("set", "")).removeprefix("a.")
        if not await run_in_threadpool(self.store.delete_album, album):
            raise HTTPException(404, "This content isn't available right now")
        return RedirectResponse("/me/photos_albums", 303)

    def tile(self, entry: Entry) -> str:
        return (
            f'<a class="x1i10hfl" href="/photo/?fbid={entry.key}&amp;set=a.{entry.album}">'
            f'<img alt="" src="{escape(self.signed(entry.key, THUMBNAIL))}"></a>'
        )

    def photo_page(self, request: Request) -> Response:
        if not self.session(request):
            return self.redirect_to_sign_in()
        photo = request.query_params.get("fbid", "")
        if self.store.photo(photo) is None:
            raise HTTPException(404, "This content isn't available right now")
        address = escape(f"{request.base_url}{self.signed(photo, FULL)[1:]}")
        return self.page(
            "Photo", f'<img class="x85a59c" alt="" data-visualcompletion="media-vc-image" src="{address}">'
        )

    def signed(self, photo: str, rendition: str) -> str:
        """Make a file's address, good from now on for LIFETIME."""
        path, query = f"/v/t39.30808-6/{photo}_n.jpg", f"stp={quote(rendition)}&_nc_cat=101"
        expiry = f"oe={int(time.time()) + LIFETIME:X}"
        return f"{path}?{query}&oh={self.signature(f'{path}?{query}&{expiry}')}&{expiry}"

    def signature(self, address: str) -> str:
        return hmac.new(self.secret, address.encode(), "sha256").hexdigest()

    def picture(self, request: Request) -> Response:
        query = request.url.query.split("&")
        signed = "&".join(part for part in query if not part.startswith("oh="))
        given = "".join(part for part in query if part.startswith("oh="))
        if not self.matches_secret(given, f"oh={self.signature(f'{request.url.path}?{signed}')}"):
            raise HTTPException(403, "Bad URL hash")
        if int(request.query_params["oe"], 16) < time.time():
            raise HTTPException(403, "URL signature expired")
        return self.file(request, request.path_params["photo"], request.query_params["stp"], "jpg")

    def captcha(self) -> Response:
        return self.page("Security check", "<h1>Security check</h1><p>Nothing here solves this sandbox's captcha.</p>")

    def block(self) -> Response:
        return self.page("Error", '<div data-module="CometErrorRoot.react"><h1>This page isn\'t available</h1></div>')


def _app13(content: bytes) -> bytes:
    """Make Facebook's mark: IPTC special instructions `FBMD` + hex, in a Photoshop segment."""
    text = b"FBMD0a000a" + hashlib.sha256(content).hexdigest().encode()
    record = b"\x1c\x02\x28" + len(text).to_bytes(2, "big") + text
    padding = b"\0" * (len(record) % 2)
    body = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + len(record).to_bytes(4, "big") + record + padding
    return b"\xff\xed" + (len(body) + 2).to_bytes(2, "big") + body
