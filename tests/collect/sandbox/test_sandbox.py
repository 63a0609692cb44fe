"""Sandbox sites over real HTTP: sign-in, uploads, albums, renditions, refusals, and what outlives a kill."""

from __future__ import annotations

import hashlib
import io
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, JpegImagePlugin

from collect.sandbox import images, names, serve
from collect.sandbox.sites import facebook
from params import UserError

SITES = ("douban", "facebook", "weibo")
LOGIN = {"douban": "/passport/login", "facebook": "/login/", "weibo": "/sso/signin"}
LANDING = {"douban": r"/people/\d+/", "facebook": "/", "weibo": "/"}
SECRETS = {"douban": {"dbcl2"}, "facebook": {"xs"}, "weibo": {"SUB", "SUBP"}}
READABLE = {"douban": {"ck"}, "facebook": {"c_user"}, "weibo": {"XSRF-TOKEN"}}
RANDOM = np.random.default_rng(2012)


def picture(width: int = 224, height: int = 224, noise: float = 4) -> Image.Image:
    """Make a smooth picture that is never the same twice."""
    coarse = Image.fromarray(RANDOM.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=float)
    return Image.fromarray(np.clip(smooth + RANDOM.normal(0, noise, smooth.shape), 0, 255).astype(np.uint8))


def file(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


class Visitor:
    """Somebody with a browser's cookies, who uses a site as its pages' scripts do."""

    def __init__(self, site: str, origin: str, signed_in: bool = True) -> None:
        self.site, self.origin, self.http = site, origin, requests.Session()
        if signed_in:
            self.http.post(origin + LOGIN[site]).raise_for_status()

    def page(self, path: str) -> str:
        answer = self.http.get(self.origin + path)
        assert answer.status_code == 200
        return answer.text

    def json(self, path: str, **given: object) -> dict:
        return self.http.post(self.origin + path, **given).json()

    def draft(self, data: bytes) -> str:
        """Upload without publishing; return the photo's name."""
        if self.site == "weibo":
            answer = self.json("/interface/upload.php?ori=0", data=data)
            return answer["pic"]["pid"] if answer["ret"] else answer["msg"]
        token = re.search(r'UPLOAD_AUTH_TOKEN: "(\w+)"', self.page("/photos/album/1000001/upload"))
        assert token
        fields = {"ck": self.http.cookies["ck"], "category": "photo", "albumid": "1000001"}
        answer = self.json(
            "/j/photos/addphoto_draft",
            data=fields | {"upload_auth_token": token[1]},
            files={"file": ("a.png", data)},
        )
        return answer.get("id") or answer["msg"]

    def publish(self, *uploads: bytes, audience: str = "Only me", title: str = "t") -> list[str]:
        """Upload and publish; return the photos' names in the order of the uploads."""
        if self.site == "facebook":
            token = re.search(r'name="fb_dtsg" value="([^"]+)"', self.page("/media/set/create"))
            assert token
            answer = self.json(
                "/media/set/create",
                data={"fb_dtsg": token[1], "album_name": title, "audience": audience},
                files=[("files", (f"{number}.png", data)) for number, data in enumerate(uploads)],
            )
            return self.facebook_album(answer["album"]) if "album" in answer else [answer["msg"]]
        photos = [self.draft(data) for data in uploads]
        if self.site == "douban":
            fields = {"ck": self.http.cookies["ck"]} | {f"desc_{photo}": title for photo in photos}
            answer = self.http.post(f"{self.origin}/photos/album/1000001/upload", data=fields, allow_redirects=False)
            assert (answer.status_code, answer.headers["Location"]) == (302, "/photos/album/1000001/")
        else:
            posted = self.post(title, photos, "1")
            assert posted["ok"] == 1
            assert posted["data"]["pic_ids"] == photos
        return photos

    def post(self, text: str, pids: list[str], visible: str) -> dict:
        return self.json(
            "/ajax/statuses/update",
            data={"content": text, "pic_id": json.dumps(pids), "visible": visible},
            headers={"X-XSRF-TOKEN": self.http.cookies["XSRF-TOKEN"]},
        )

    def facebook_album(self, album: str) -> list[str]:
        text = self.page(f"/media/set/?set={album}")
        photos = re.findall(r"/photo/\?fbid=(\d+)", text)
        more = {"next": re.findall(r'data-next="(\d+)"', text)[0]}
        while True:
            more = self.http.get(f"{self.origin}/media/set/more?set={album}&after={more['next']}").json()
            photos += re.findall(r"/photo/\?fbid=(\d+)", more["html"])
            if not more["more"]:
                return photos

    def album(self) -> list[str]:
        """Read the (newest) album's photos, page by page."""
        if self.site == "douban":
            photos, path = [], "/photos/album/1000001/"
            while path:
                text = self.page(path)
                photos += re.findall(r'class="photolst_photo"[^>]*><img src="[^"]*/view/photo/m/public/p(\d+)\.', text)
                following = re.search(r'<span class="next"><a href="([^"]+)"', text)
                path = f"/photos/album/1000001/{following[1]}" if following else ""
            return photos
        if self.site == "facebook":
            album = re.search(r"/media/set/\?set=(a\.\d+)", self.page("/me/photos_albums"))
            assert album
            return self.facebook_album(album[1])
        account = re.search(r'href="/u/(\d+)"', self.page("/"))
        assert account
        photos, cursor = [], 0
        while True:
            wall = self.http.get(
                f"{self.origin}/ajax/profile/getImageWall", params={"uid": account[1], "sinceid": cursor}
            ).json()
            assert wall["ok"] == 1
            photos += [image["pid"] for image in wall["data"]["list"]]
            cursor = wall["data"]["since_id"]
            if cursor == 0:
                return photos

    def address(self, photo: str, rendition: str = "") -> str:
        if self.site == "douban":
            return f"{self.origin}/view/photo/{rendition or 'xl'}/public/p{photo}.jpg"
        if self.site == "weibo":
            return f"{self.origin}/{rendition or 'large'}/{photo}.jpg"
        address = re.search(
            r'<img[^>]*data-visualcompletion="media-vc-image" src="([^"]+)"', self.page(f"/photo/?fbid={photo}")
        )
        assert address
        return unescape(address[1])

    def download(self, address: str) -> bytes:
        answer = requests.get(address, headers={"Referer": f"{self.origin}/"})
        assert answer.status_code == 200, answer.text
        return answer.content

    def received(self) -> dict:
        return requests.get(f"{self.origin}/sandbox/received").json()


@pytest.fixture
def visitor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Visitor]:
    with serve(request.param, state=tmp_path) as origin:
        yield Visitor(request.param, origin)


def on(*sites: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("visitor", sites or SITES, indirect=True)


def test_the_sandboxes_are_found_from_their_files() -> None:
    assert names() == list(SITES)


@pytest.mark.parametrize("site", SITES)
def test_sign_in_sets_the_cookies_and_lands(site: str, tmp_path: Path) -> None:
    with serve(site, state=tmp_path) as origin:
        page = requests.get(origin + LOGIN[site])
        assert re.search(r"<form method=\"post\"><button[^>]*>Sign in to the sandbox</button></form>", page.text)
        session = requests.Session()
        answer = session.post(origin + LOGIN[site])
        assert re.fullmatch(LANDING[site], answer.url.removeprefix(origin))
        only_http = {cookie.name for cookie in session.cookies if cookie.has_nonstandard_attr("HttpOnly")}
        assert only_http == SECRETS[site]
        assert {cookie.name for cookie in session.cookies} == SECRETS[site] | READABLE[site]
        secret = {Visitor(site, origin).http.cookies[name] for _ in range(2) for name in SECRETS[site]}
        assert len(secret) == 2 * len(SECRETS[site])


@pytest.mark.parametrize("site", SITES)
def test_a_stranger_sees_what_a_stranger_sees_on_the_real_site(site: str, tmp_path: Path) -> None:
    with serve(site, state=tmp_path) as origin:
        Visitor(site, origin).publish(file(picture()))
        before = requests.get(f"{origin}/sandbox/received").json()
        stranger = requests.Session()
        stranger.cookies.update(dict.fromkeys(SECRETS[site] | READABLE[site], "1234567"))

        def to_sign_in(path: str) -> bool:
            answer = stranger.get(origin + path, allow_redirects=False)
            return answer.status_code == 302 and answer.headers["Location"] == LOGIN[site]

        if site == "douban":
            assert stranger.get(f"{origin}/mine/").status_code == 403
            assert stranger.get(f"{origin}/photos/album/1000001/").status_code == 403
            assert to_sign_in("/photos/album/1000001/upload")
            assert stranger.post(f"{origin}/j/photos/addphoto_draft", data={"ck": "1234567"}).status_code == 403
            assert stranger.post(f"{origin}/photos/album/1000001/upload", data={"ck": "1234567"}).status_code == 403
        elif site == "weibo":
            assert to_sign_in("/")
            assert to_sign_in("/u/1")
            assert stranger.get(f"{origin}/ajax/profile/getImageWall?uid=1&sinceid=0").json()["ok"] == -100
            assert stranger.post(f"{origin}/ajax/statuses/update").json()["ok"] == -100
            answer = stranger.post(f"{origin}/interface/upload.php?ori=0", data=file(picture()))
            assert answer.text == "<data>100006</data>"
        else:
            for path in ("/", "/me/photos_albums", "/media/set/create", "/media/set/?set=a.1", "/photo/?fbid=1"):
                assert to_sign_in(path)
            answer = stranger.post(f"{origin}/media/set/create", allow_redirects=False)
            assert answer.headers["Location"] == LOGIN[site]
        assert requests.get(f"{origin}/sandbox/received").json() == before


@on("douban")
@pytest.mark.parametrize("wrong", [{"ck": "x"}, {"upload_auth_token": "x"}, {"ck": ""}])
def test_douban_refuses_a_wrong_ck_or_token(visitor: Visitor, wrong: dict[str, str]) -> None:
    photo = visitor.draft(file(picture()))
    token = re.search(r'UPLOAD_AUTH_TOKEN: "(\w+)"', visitor.page("/photos/album/1000001/upload"))
    assert token
    fields = {"ck": visitor.http.cookies["ck"], "category": "photo", "albumid": "1000001"}
    answer = visitor.http.post(
        f"{visitor.origin}/j/photos/addphoto_draft",
        data=fields | {"upload_auth_token": token[1]} | wrong,
        files={"file": file(picture())},
    )
    assert answer.status_code == 403
    answer = visitor.http.post(f"{visitor.origin}/photos/album/1000001/upload", data={"ck": "x", f"desc_{photo}": "t"})
    assert answer.status_code == 403
    assert (visitor.received()["photos"], visitor.received()["unpublished"]) == (0, 1)


@on("weibo")
@pytest.mark.parametrize("headers", [{}, {"X-XSRF-TOKEN": "x"}])
def test_weibo_refuses_a_wrong_xsrf_token(visitor: Visitor, headers: dict[str, str]) -> None:
    form = {"content": "t", "pic_id": json.dumps([visitor.draft(file(picture()))]), "visible": "1"}
    answer = visitor.http.post(f"{visitor.origin}/ajax/statuses/update", data=form, headers=headers)
    assert (answer.status_code, visitor.album()) == (403, [])


@on("facebook")
@pytest.mark.parametrize("token", ["", "x"])
def test_facebook_refuses_a_wrong_fb_dtsg(visitor: Visitor, token: str) -> None:
    form = {"fb_dtsg": token, "album_name": "t", "audience": "Only me"}
    answer = visitor.http.post(f"{visitor.origin}/media/set/create", data=form, files={"files": file(picture())})
    assert (answer.status_code, visitor.received()["photos"]) == (403, 0)


@on()
def test_albums_keep_the_order_over_several_pages_and_the_files_are_the_photos(visitor: Visitor) -> None:
    pictures = [picture(64, 64) for _ in range(55)]
    photos = []
    batch = 9 if visitor.site == "weibo" else 55
    for start in range(0, 55, batch):
        photos += visitor.publish(*map(file, pictures[start : start + batch]))
    assert len(set(photos)) == 55
    assert visitor.album() == (photos[::-1] if visitor.site == "weibo" else photos)
    for number in (0, 18, 54):
        served = Image.open(io.BytesIO(visitor.download(visitor.address(photos[number]))))
        difference = np.asarray(served, dtype=float) - np.asarray(pictures[number], dtype=float)
        assert np.abs(difference).mean() < 6


@on("douban", "weibo")
def test_a_draft_is_in_no_album(visitor: Visitor) -> None:
    draft = visitor.draft(file(picture()))
    assert visitor.album() == []
    if visitor.site == "douban":
        assert visitor.http.get(f"{visitor.origin}/photos/photo/{draft}/").status_code == 404
    assert visitor.received() == {"platform": visitor.site, "images": [], "photos": 0, "unpublished": 1, "deleted": 0}


@on()
def test_received_counts_each_content_as_often_as_it_was_published(visitor: Visitor) -> None:
    once, twice = file(picture()), file(picture())
    visitor.publish(once, twice)
    photos = visitor.publish(twice)
    if visitor.site == "weibo":  # the same pictures in another post are there twice
        assert visitor.post("again", photos, "1")["ok"] == 1
    expected = {hashlib.sha256(once).hexdigest(): 1, hashlib.sha256(twice).hexdigest(): 2 + (visitor.site == "weibo")}
    received = visitor.received()
    assert {image["sha256"]: image["times"] for image in received["images"]} == expected
    assert received["photos"] == sum(expected.values())
    page = requests.get(f"{visitor.origin}/sandbox/").text
    for sha256, times in expected.items():
        assert re.search(rf'{sha256}</code></td><td class="number">{times}<', page)


def segments(jpeg: bytes) -> list[tuple[int, bytes]]:
    """List a JPEG's segments up to the first scan, as (marker, body)."""
    found, place = [], 2
    while jpeg[place + 1] != 0xDA:
        length = int.from_bytes(jpeg[place + 2 : place + 4], "big")
        found.append((jpeg[place + 1], jpeg[place + 4 : place + 2 + length]))
        place += 2 + length
    return found


def tables(quality: int) -> dict[int, list[int]]:
    return Image.open(io.BytesIO(file(picture(16, 16), "JPEG", quality=quality))).quantization  # type: ignore[attr-defined, no-any-return]


def phone_photo() -> bytes:
    """Make a JPEG as phones do: turned by EXIF, with a place, a profile and a comment."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Phone"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return file(picture(640, 480), "JPEG", quality=95, exif=exif, icc_profile=profile, comment=b"secret")


@on()
def test_the_files_are_encoded_as_the_platform_does(visitor: Visitor) -> None:
    quality, sampling, start_of_frame = {
        "douban": (75, 2, 0xC0),
        "weibo": (85, 0, 0xC0),
        "facebook": (92, 2, 0xC2),
    }[visitor.site]
    for upload, size in ((file(picture()), (224, 224)), (phone_photo(), (480, 640))):
        data = visitor.download(visitor.address(visitor.publish(upload)[0]))
        image = Image.open(io.BytesIO(data))
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        assert image.size == size
        assert image.quantization == tables(quality)
        assert JpegImagePlugin.get_sampling(image) == sampling
        parts = segments(data)
        assert [marker for marker, _ in parts if 0xC0 <= marker <= 0xC2] == [start_of_frame]
        standard = sum(len(body) for marker, body in parts if marker == 0xC4) == 416
        assert standard == (visitor.site == "douban")
        kept = {marker for marker, _ in parts if marker == 0xFE or 0xE1 <= marker <= 0xEF}
        if visitor.site == "facebook":
            assert kept == {0xED}
            assert re.search(rb"FBMD[0-9a-f]{16,}", dict(parts)[0xED])
            assert b"FBMD" in image.info["photoshop"][0x0404]
        else:
            assert kept == ({0xE2} if visitor.site == "douban" and size != (224, 224) else set())


@on()
def test_large_images_are_limited(visitor: Visitor) -> None:
    wide, tall = visitor.publish(file(picture(2500, 100)), file(picture(100, 2500)))
    limits = {"douban": [(2000, 80), (80, 2000)], "weibo": [(2048, 82), (100, 2500)]}
    expected = limits.get(visitor.site, [(2048, 82), (82, 2048)])
    addresses = [visitor.address(photo) for photo in (wide, tall)]
    assert [Image.open(io.BytesIO(visitor.download(each))).size for each in addresses] == expected


@on("weibo")
def test_weibo_renditions(visitor: Visitor) -> None:
    [photo] = visitor.publish(file(picture(2500, 250)))
    widths = {"large": 2048, "mw2000": 2000, "mw690": 690, "orj360": 360, "bmiddle": 440, "thumb150": 150}
    for rendition, width in widths.items():
        image = Image.open(io.BytesIO(visitor.download(visitor.address(photo, rendition))))
        assert (image.format, image.width) == ("JPEG", width)
    assert visitor.http.get(visitor.address(photo, "huge"), headers={"Referer": visitor.origin}).status_code == 404


@on("douban")
def test_douban_renditions(visitor: Visitor) -> None:
    [photo] = visitor.publish(file(picture(2500, 250)))
    for rendition, side in (("m", 600), ("l", 1200), ("xl", 2000)):
        jpeg = visitor.address(photo, rendition)
        for address, kind in ((jpeg, "JPEG"), (jpeg.replace(".jpg", ".webp"), "WEBP")):
            image = Image.open(io.BytesIO(visitor.download(address)))
            assert (image.format, image.width) == (kind, side)
    answer = requests.get(visitor.address(photo, "l").replace(".jpg", ".webp"), headers={"Referer": visitor.origin})
    assert answer.headers["Content-Type"] == "image/webp"


@on("facebook")
def test_only_small_busy_images_lose_quality_on_facebook(visitor: Visitor) -> None:
    busy, large, noise = visitor.publish(
        file(picture(noise=25)), file(picture(600, 600, noise=25)), file(picture(noise=120))
    )
    served = {photo: Image.open(io.BytesIO(visitor.download(visitor.address(photo)))) for photo in (busy, large, noise)}
    assert served[large].quantization == tables(92)  # type: ignore[attr-defined]
    assert served[noise].quantization == tables(71)  # type: ignore[attr-defined]
    assert served[busy].quantization in [tables(quality) for quality in range(74, 92, 3)]  # type: ignore[attr-defined]


@on("douban", "weibo")
def test_files_are_refused_without_the_sites_own_referer(visitor: Visitor) -> None:
    [photo] = visitor.publish(file(picture()))
    for referer in (None, "https://example.org/", f"{visitor.origin}9/", f"{visitor.origin}.example.org/"):
        answer = requests.get(visitor.address(photo), headers={"Referer": referer} if referer else {})
        assert answer.status_code == {"douban": 418, "weibo": 403}[visitor.site]
        assert not answer.headers["Content-Type"].startswith("image/")
    assert requests.get(visitor.address(photo), headers={"Referer": f"{visitor.origin}/any"}).status_code == 200


@on("facebook")
def test_facebooks_addresses_are_signed_and_expire(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = visitor.publish(file(picture()), file(picture()))
    address = visitor.address(first)
    assert re.fullmatch(rf"{visitor.origin}/v/t39\.30808-6/\d+_n\.jpg\?stp=[^&]+&.*oh=[^&]+&oe=[0-9A-F]{{8}}", address)
    assert requests.get(address).status_code == 200  # nothing but the signature is asked for
    expiry = int(address.rpartition("oe=")[2], 16)
    changed = [
        address.replace(f"oe={expiry:X}", f"oe={expiry + 3600:X}"),
        address.replace("stp=dst-jpg_tt6", "stp=dst-jpg_s280x280_tt6"),
        address.replace("&oh=", "&oh=0"),
        address.replace(first, second),
        address + "&x=1",
        address + "&" + address[address.index("oh=") :].partition("&")[0],
        address.partition("?")[0],
    ]
    assert [requests.get(each).status_code for each in changed] == [403] * len(changed)
    monkeypatch.setattr(facebook, "LIFETIME", -1)
    assert requests.get(visitor.address(first)).status_code == 403


@on()
def test_what_is_no_image_is_refused_and_nothing_is_kept(visitor: Visitor) -> None:
    whole = file(picture())
    upload = visitor.publish if visitor.site == "facebook" else visitor.draft
    for data in (b"", b"<html>", whole[: len(whole) // 2], b"\0" * (21 << 20)):
        [refusal] = [upload(data)] if visitor.site != "facebook" else upload(whole, data)
        assert "file" in refusal
    assert visitor.received() == {"platform": visitor.site, "images": [], "photos": 0, "unpublished": 0, "deleted": 0}


@on("weibo")
def test_weibo_refuses_posts_that_are_no_posts(visitor: Visitor) -> None:
    pids = [visitor.draft(file(picture(16, 16))) for _ in range(10)]
    for wrong in (("t", pids, "1"), ("t", ["nosuch"], "1"), ("t", pids[:1], "7"), (" ", [], "1")):
        assert visitor.post(*wrong)["ok"] == 0
    assert visitor.post("t", pids[:9], "0")["ok"] == 1


@on()
def test_the_audience_is_kept_shown_and_told(visitor: Visitor) -> None:
    [photo] = visitor.publish(file(picture()), title="a <b>title</b>")
    audience = {"douban": "仅自己可见", "weibo": "1", "facebook": "Only me"}[visitor.site]
    [told] = visitor.received()["images"][0]["photos"]
    assert told == {"id": photo, "watermarked": False, "audience": audience}
    path = {"douban": "/photos/album/1000001/", "weibo": "/", "facebook": "/me/photos_albums"}[visitor.site]
    text = visitor.page(path)
    assert ("Only me" if visitor.site == "facebook" else "仅自己可见") in text
    assert "a &lt;b&gt;title&lt;/b&gt;" in text
    assert "<b>title" not in text


@on()
def test_every_page_says_sandbox(visitor: Visitor) -> None:
    visitor.publish(file(picture()))
    seen, waiting = set(), [LOGIN[visitor.site], "/", "/sandbox/", "/nosuch", "/u/1", "/photo/?fbid=1"]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        answer = visitor.http.get(visitor.origin + path)
        if answer.headers["Content-Type"].startswith("text/html"):
            assert '<div id="sandbox-banner"><b>sandbox</b>' in answer.text
            waiting += [unescape(link) for link in re.findall(r'href="(/[^"]*)"', answer.text)]
    assert len(seen) > 6


@pytest.mark.parametrize("site", ["facebook", "weibo"])
def test_the_state_outlives_a_kill(site: str, tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from collect.sandbox import serve\n"
        "with serve(sys.argv[1], state=Path(sys.argv[2])) as origin: print(origin, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, site, tmp_path], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        visitor = Visitor(site, process.stdout.readline().strip())
        photos = visitor.publish(file(picture()), file(picture()))
        served = visitor.download(visitor.address(photos[0]))
        before = visitor.received()
        process.kill()
    with serve(site, state=tmp_path) as origin:
        visitor.origin = origin
        assert visitor.received() == before
        assert sorted(visitor.album()) == sorted(photos)
        assert visitor.download(visitor.address(photos[0])) == served
        assert len(visitor.publish(file(picture()))) == 1


@pytest.mark.parametrize("site", SITES)
def test_another_codec_takes_the_platforms_place_for_new_uploads(site: str, tmp_path: Path) -> None:
    upload = file(picture())
    with serve(site, state=tmp_path) as origin:
        visitor = Visitor(site, origin)
        [old] = visitor.publish(upload)
    with serve(site, state=tmp_path, codec="resize:0.5+webp:30") as origin:
        visitor.origin = origin
        [new] = visitor.publish(upload)
        answer = requests.get(visitor.address(new), headers={"Referer": origin})
        assert answer.headers["Content-Type"] == "image/webp"
        image = Image.open(io.BytesIO(answer.content))
        assert (image.format, image.size) == ("WEBP", (112, 112))
        assert Image.open(io.BytesIO(visitor.download(visitor.address(old)))).format == "JPEG"


def test_mistakes_are_explained(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port}.*in use"), serve("weibo", state=tmp_path, port=port):
            pass
    with pytest.raises(UserError, match="douban, facebook, weibo"), serve("nosuch", state=tmp_path):
        pass
    with pytest.raises(UserError, match="jpeg:QUALITY"), serve("weibo", state=tmp_path, codec="jpeg:0"):
        pass
    with serve("weibo", state=tmp_path):
        pass
    with pytest.raises(UserError, match="another folder"), serve("douban", state=tmp_path):
        pass


def test_a_sandbox_listens_on_loopback_alone(tmp_path: Path) -> None:
    with serve("weibo", state=tmp_path) as origin:
        assert origin.startswith("http://127.0.0.1:")
        port = int(origin.rpartition(":")[2])
        sockets = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        assert [each for each in sockets if each.endswith(f":{port:04X}") and each.startswith("0100007F")]
        # a wildcard listener would take every address of the loopback network
        with socket.socket() as other, pytest.raises(ConnectionRefusedError):
            other.connect(("127.0.0.2", port))


def test_the_command_serves_until_ctrl_c(tmp_path: Path) -> None:
    # a background job of a shell ignores SIGINT, and so would the command
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{heed}; import comreadv; comreadv.main()"
    command = [sys.executable, "-c", program, "sandbox", "weibo", "--codec", "jpeg:50", "--state", tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        assert requests.get(re.findall(r"http://[0-9.:]+/sandbox/", line)[0]).status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_upload_is_read_or_refused(data: st.DataObject) -> None:
    upload = bytearray(data.draw(st.sampled_from(UPLOADS)))
    for _ in range(data.draw(st.integers(0, 6))):
        upload[data.draw(st.integers(0, len(upload) - 1))] = data.draw(st.integers(0, 255))
    del upload[data.draw(st.integers(0, len(upload))) :]
    try:
        image = images.decode_upload(bytes(upload))
    except images.NotAnImage:
        return
    assert image.mode == "RGB"


UPLOADS = [phone_photo(), *(file(picture(12, 9), kind) for kind in ("PNG", "GIF", "WEBP", "BMP", "JPEG"))]


def test_transparency_becomes_white_and_other_modes_become_rgb() -> None:
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    half.putpixel((0, 0), (10, 20, 30, 255))
    for upload in (file(half), file(half, "WEBP", lossless=True), file(half, "GIF")):
        image = images.decode_upload(upload)
        assert (image.getpixel((0, 0)), image.getpixel((3, 3))) == ((10, 20, 30), (255, 255, 255))
    deep = Image.fromarray(np.full((4, 4), 0x8080, dtype=np.uint16))
    assert images.decode_upload(file(deep)).getpixel((0, 0)) == (128, 128, 128)
    assert images.decode_upload(file(Image.new("CMYK", (4, 4)), "JPEG")).getpixel((0, 0)) == (255, 255, 255)
