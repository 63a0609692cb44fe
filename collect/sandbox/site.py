"""What every sandbox site does: sign-in, renditions, refusals, and the account of what it has received."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from PIL import Image
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from collect import codecs
from collect.sandbox import images, pages, watermark
from collect.sandbox.faults import Faults
from collect.sandbox.records import Photo, Session
from collect.sandbox.store import Store

SITES_FOLDER = Path(__file__).parent / "sites"
COOKIE_AGE_S = 30 * 24 * 3600  # seconds


class Cookie(NamedTuple):
    """A cookie of the sign-in; `script` when the site's own script can read it."""

    name: str
    value: str
    script: bool = False


class Site(ABC):
    """A site over its store; `codec`, a chain of collect.codecs, stands in for the platform's own.

    `negotiates`, another, is for those whose Accept names its media type.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    language: ClassVar[str] = "en"
    navigation: ClassVar[str] = ""
    login_path: ClassVar[str]
    landing: ClassVar[str]
    session_cookie: ClassVar[str]
    renditions: ClassVar[dict[str, str]]  # name -> the step that makes its size
    formats: ClassVar[dict[str, str]]  # extension -> the platform's own codec
    keeps_profile: ClassVar[bool] = False
    files: ClassVar[tuple[str, ...]]  # how the paths of photos' files begin
    spared: ClassVar[tuple[str, ...]]  # how the paths begin that no fault strikes
    without: ClassVar[tuple[str, ...]] = ()  # faults that this site does not know

    def __init__(self, store: Store, codec: str | None, faults: Faults) -> None:
        self.store = store
        self.codec = codec
        self.negotiates: str | None = None
        self.faults = faults
        self.secret = store.read_setting("secret", secrets.token_hex(32)).encode()
        self.account = store.read_setting("account", str(10**9 + secrets.randbelow(10**9)))

    @abstractmethod
    def routes(self) -> list[Route]:
        """List the site's own paths."""

    @abstractmethod
    def cookies(self, session: Session) -> Iterator[Cookie]:
        """Yield the cookies of a sign-in."""

    @abstractmethod
    def captcha(self) -> Response:
        """Make the page that wants to see a person; nothing on it does."""

    def block(self) -> Response:
        """Make the answer that turns somebody away."""
        return self.page("418", "<h1>418</h1><p>Too many requests.</p>", 418)

    def encode(self, image: Image.Image, size: str, codec: str) -> bytes:
        """Encode a rendition by the platform's own codec, after the step `size`."""
        return codecs.encode(image, f"{size}+{codec}")

    def app(self) -> Starlette:
        routes = [
            Route(self.login_path, self.login_page),
            Route(self.login_path, self.sign_in, methods=["POST"]),
            Route("/sandbox/", self.received_page),
            Route("/sandbox/received", self.received),
            *self.routes(),
        ]
        return Starlette(routes=routes, exception_handlers={HTTPException: self.refuse})

    def page(self, title: str, body: str, status: int = 200) -> HTMLResponse:
        return pages.render_page(
            self.title,
            title,
            body,
            navigation=self.navigation.format(account=self.account),
            style=(SITES_FOLDER / f"{self.name}.css").read_text(encoding="utf-8"),
            script=(SITES_FOLDER / f"{self.name}.js").read_text(encoding="utf-8"),
            language=self.language,
            status=status,
        )

    def login_page(self, _request: Request) -> Response:
        return self.page(
            "Sign in",
            '<h1>Sign in</h1><form method="post"><button class="main">Sign in to the sandbox</button></form>'
            '<p class="faint">There is one account here, and it needs no password.</p>',
        )

    def sign_in(self, _request: Request) -> Response:
        response = RedirectResponse(self.landing, 303)
        for cookie in self.cookies(self.store.sign_in()):
            response.set_cookie(cookie.name, cookie.value, COOKIE_AGE_S, httponly=not cookie.script, samesite="lax")
        return response

    def redirect_to_sign_in(self) -> Response:
        return RedirectResponse(self.login_path, 302)

    def session(self, request: Request) -> Session | None:
        """Find who asks; None when nobody is signed in."""
        return self.store.session(request.cookies.get(self.session_cookie, ""))

    def matches_secret(self, given: object, secret: str) -> bool:
        """Compare what a client gave with a secret."""
        return isinstance(given, str) and secrets.compare_digest(given.encode(), secret.encode())

    def require_referer(self, request: Request, status: int) -> None:
        """Refuse a request that comes from no page of this site."""
        if not f"{request.headers.get('referer', '')}/".startswith(str(request.base_url)):
            raise HTTPException(status, "These files are for the site's own pages: the Referer is missing or foreign.")

    def add_photos(self, uploads: Mapping[str, bytes]) -> None:
        """Keep uploads, bytes by key, in no album yet."""
        self.store.add_photos(uploads, self.codec, [key for key in uploads if self.faults.has_watermark(key)])

    def file(self, request: Request, key: str, rendition: str, extension: str) -> Response:
        """Serve a photo's rendition, made when it is first asked for, or the part of it that a Range asks for."""
        photo = self.store.photo(key)
        if photo is None or rendition not in self.renditions or extension not in self.formats:
            raise HTTPException(404)
        if self.faults.strikes("wrong") and (others := self.store.other_photos(photo)):
            photo = self.store.photo(self.faults.choice("wrong", others)) or photo
        own = self.formats[extension]
        if self.negotiates and codecs.media_type(self.negotiates) in request.headers.get("accept", ""):
            photo, extension = photo._replace(codec=self.negotiates), f"{extension}-negotiated"
        name = f"{rendition}-{photo.key}.{extension}"
        file = self.store.rendition(name)
        if not file.is_file():
            self.store.add_rendition(name, self.render(photo, self.renditions[rendition], own))
        kept = {"Cache-Control": "max-age=2592000"} if photo.key == key else {}  # thumbnails come up on every page
        part = FileResponse(
            file, headers=kept, media_type=codecs.media_type(photo.codec or own), stat_result=file.stat()
        )
        if "range" in request.headers:
            return part
        return Response(file.read_bytes(), headers=dict(part.headers))  # twice as fast as in chunks

    def render(self, photo: Photo, size: str, own: str) -> bytes:
        """Make a rendition by the step `size` and the photo's codec, or by `own` when it has none."""
        image = images.decode_upload(self.store.original(photo))
        if not self.keeps_profile:
            image.info = {}
        codec = photo.codec
        if photo.watermarked:  # between the steps and the encoder
            stamped = watermark.add_watermark(codecs.before_encoding(image, f"{size}+{codec or own}"))
            stamped.info, image = image.info, stamped
            codec = codec and codec.rpartition("+")[2]
        return codecs.encode(image, f"{size}+{codec}") if codec else self.encode(image, size, own)

    def refuse(self, _request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return self.page(error.detail, f"<h1>{error.status_code}</h1><p>{escape(error.detail)}</p>", error.status_code)

    def received(self, _request: Request) -> Response:
        images, (drafts, deleted) = self.store.received(), self.store.count_hidden()
        answer: dict[str, Any] = {
            "platform": self.name,
            "images": [
                {
                    "sha256": image.sha256,
                    "times": image.times,
                    "photos": [
                        {"id": photo.key, "watermarked": photo.watermarked, "audience": photo.audience}
                        for photo in image.photos
                    ],
                }
                for image in images
            ],
            "photos": sum(image.times for image in images),
            "unpublished": drafts,
            "deleted": deleted,
        }
        return JSONResponse(answer)

    def received_page(self, _request: Request) -> Response:
        images, (drafts, deleted) = self.store.received(), self.store.count_hidden()
        rows = "".join(
            f'<tr><td><code>{image.sha256}</code></td><td class="number">{image.times}</td></tr>' for image in images
        )
        return self.page(
            "What the sandbox has received",
            f"<h1>What this sandbox has received</h1><p>{sum(image.times for image in images)} photos in albums and"
            f" posts, of {len(images)} different images; {drafts} uploaded and never published; {deleted} deleted."
            ' The same as JSON: <a href="/sandbox/received">/sandbox/received</a>.</p>'
            f'<table><tr><th>SHA-256 of the bytes received</th><th class="number">times</th></tr>{rows}</table>',
        )
