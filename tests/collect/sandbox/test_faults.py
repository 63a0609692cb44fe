"""The sandboxes' faults over real HTTP: what each does, how often, and what it leaves alone."""

from __future__ import annotations

import hashlib
import io
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
from PIL import Image
from playwright.sync_api import sync_playwright
from test_sandbox import LOGIN, SITES, Visitor, file, picture
from typer.testing import CliRunner

import comreadv
from collect.browser import launch
from collect.sandbox import serve, watermark
from collect.sandbox.faults import FAULTS, Faults, parse_rates
from params import UserError

ALBUM = {"douban": "/photos/album/1000001/", "facebook": "/me/photos_albums", "weibo": "/"}
REFUSALS = ["error-before", "busy", "captcha", "block", "expired"]

Spoilt = Callable[..., AbstractContextManager[None]]


class Owner(Visitor):
    """A visitor with photos, who remembers what requests need when pages fail."""

    photos: list[str]
    csrf: str
    album_id: str


@pytest.fixture(params=SITES)
def visitor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Owner]:
    """Somebody who has published three photos on a site without faults, `photos`."""
    with serve(request.param, state=tmp_path) as origin:
        visitor = Owner(request.param, origin)
        visitor.photos = visitor.publish(*(file(picture(48, 48)) for _ in range(3)))
        yield visitor


@pytest.fixture
def spoilt(visitor: Owner, tmp_path: Path) -> Spoilt:
    """Make the visitor's site faulty for as long as a `with` lasts."""

    @contextmanager
    def spoilt(seed: int = 0, limit: int | None = None, **faults: float) -> Iterator[None]:
        rates = {name.replace("_", "-"): rate for name, rate in faults.items()}
        whole = visitor.origin
        with serve(visitor.site, state=tmp_path, faults=rates, seed=seed, limit=limit) as visitor.origin:
            yield
        visitor.origin = whole

    return spoilt


def on(*sites: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("visitor", sites, indirect=True)


def get(visitor: Owner, address: str, **headers: str) -> requests.Response:
    """Ask for an address, of whichever of the two servers, as the site's pages do."""
    path = urlsplit(address)._replace(scheme="", netloc="").geturl()
    headers = {"Referer": f"{visitor.origin}/"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return visitor.http.get(visitor.origin + path, headers=headers)


def send(visitor: Owner, upload: bytes) -> requests.Response:
    """Send the one request by which a site keeps an upload; its answer may be anything."""
    if visitor.site == "weibo":
        return visitor.http.post(f"{visitor.origin}/interface/upload.php?ori=0", data=upload)
    path = {"douban": "/photos/album/1000001/upload", "facebook": "/media/set/create"}[visitor.site]
    if visitor.site == "facebook":
        form = {"fb_dtsg": visitor.csrf, "album_name": "t", "audience": "Only me"}
        return visitor.http.post(visitor.origin + path, data=form, files={"files": upload})
    fields = {"ck": visitor.http.cookies["ck"], "category": "photo", "albumid": "1000001"}
    fields["upload_auth_token"] = visitor.csrf
    return visitor.http.post(f"{visitor.origin}/j/photos/addphoto_draft", data=fields, files={"file": upload})


def learn_tokens(visitor: Owner) -> None:
    """Read what uploads need from the whole site's pages."""
    if visitor.site == "facebook":
        found = re.search(r'name="fb_dtsg" value="([^"]+)"', visitor.page("/media/set/create"))
    else:
        path = "/photos/album/1000001/upload" if visitor.site == "douban" else LOGIN["weibo"]
        found = re.search(r'UPLOAD_AUTH_TOKEN: "(\w+)"|$', visitor.page(path))
    assert found
    visitor.csrf = found[1]


def delete(visitor: Owner, photo: str) -> requests.Response:
    """Delete a photo, with the post or the album that it is in."""
    if visitor.site == "douban":
        form = {"ck": visitor.http.cookies["ck"]}
        return visitor.http.post(f"{visitor.origin}/photos/photo/{photo}/delete", data=form, allow_redirects=False)
    if visitor.site == "facebook":
        form = {"fb_dtsg": visitor.csrf, "set": visitor.album_id}
        return visitor.http.post(f"{visitor.origin}/media/set/delete", data=form, allow_redirects=False)
    headers = {"X-XSRF-TOKEN": visitor.http.cookies["XSRF-TOKEN"]}
    form = {"id": visitor.album_id}
    return visitor.http.post(f"{visitor.origin}/ajax/statuses/destroy", data=form, headers=headers)


def learn_album(visitor: Owner) -> None:
    pattern = {"douban": "", "facebook": r"set=(a\.\d+)", "weibo": r'data-mid="(\d+)"'}[visitor.site]
    found = re.search(pattern, visitor.page(ALBUM[visitor.site]))
    assert found
    visitor.album_id = found[1] if pattern else ""


def kept(visitor: Owner) -> tuple[int, int]:
    received = visitor.received()
    return received["photos"], received["unpublished"]


# What is asked for


def test_wrong_faults_are_explained_with_the_names(tmp_path: Path) -> None:
    for wrong in ({"nosuch": 0.1}, {"cut": 1.01}, {"all": -0.1}, {"all": float("nan")}, {"block": 0.1}):
        with pytest.raises(UserError, match=r"There are: all, latency.*watermark|0 to 1"):
            serve("weibo", state=tmp_path, faults=wrong).__enter__()
    with pytest.raises(UserError, match=r"NAME=RATE.*captcha"):
        parse_rates(["captcha"])
    assert parse_rates(["all=0.05", "captcha=0.2"]) == {"all": 0.05, "captcha": 0.2}


def test_all_stands_for_the_faults_without_a_rate() -> None:
    faults = Faults({"all": 0.05, "captcha": 0.2, "cut": 0})
    assert faults.rates == dict.fromkeys(FAULTS, 0.05) | {"captcha": 0.2, "cut": 0}
    assert not Faults({"all": 0})


def test_the_command_takes_faults(tmp_path: Path) -> None:
    program = "import comreadv; comreadv.main()"
    command = [
        sys.executable,
        "-c",
        program,
        "sandbox",
        "weibo",
        "--fault",
        "all=0",
        "--fault",
        "captcha=1",
        "--seed",
        "3",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        origin = re.findall(r"http://[0-9.:]+", process.stdout.readline())[0]
        assert "请输入验证码" in requests.get(origin).text
        process.kill()
    answer = CliRunner().invoke(comreadv.app, ["sandbox", "weibo", "--fault", "nosuch=1"])
    assert answer.exit_code == 1
    assert "There are: all, latency" in " ".join(answer.output.replace("│", " ").split())


def test_rates_are_met_and_a_seed_says_when() -> None:
    def drawn(seed: int, **rates: float) -> list[bool]:
        faults = Faults(rates, seed)
        return [faults.strikes("cut") for _ in range(20_000)]

    for rate in (0.05, 0.5):
        assert abs(np.mean(drawn(0, cut=rate)) - rate) < 4 * np.sqrt(rate * (1 - rate) / 20_000)
    assert drawn(1, cut=0.1) == drawn(1, cut=0.1, busy=1) != drawn(2, cut=0.1)
    marks = [Faults({"watermark": 0.05}).has_watermark(str(photo)) for photo in range(20_000)]
    assert abs(np.mean(marks) - 0.05) < 0.006


@on("douban")
def test_rates_are_met_over_http(visitor: Owner, spoilt: Spoilt) -> None:
    def statuses() -> list[int]:
        with spoilt(seed=7, busy=0.3, error_before=0.1):
            return [get(visitor, ALBUM["douban"]).status_code for _ in range(400)]

    seen = statuses()
    assert {418, 429, 502, 503, 200} == set(seen)
    busy = seen.count(418) + seen.count(429)
    assert abs(busy / 400 - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 400)
    error = seen.count(502) + seen.count(503)  # some of those that would be are busy
    assert abs(error / 400 - 0.07) < 4 * np.sqrt(0.07 * 0.93 / 400)
    assert statuses() == seen


def test_at_rate_0_nothing_changes(visitor: Owner, spoilt: Spoilt) -> None:
    addresses = [ALBUM[visitor.site], *map(visitor.address, visitor.photos)]

    def answers() -> list[str]:
        contents = [get(visitor, address).text.replace(visitor.origin, "") for address in addresses]
        return [re.sub("(oh|oe)=[0-9a-fA-F]+", "", content) for content in contents]

    whole = answers()
    with spoilt(all=0, limit=1000):  # a limit alone puts the faults in place
        assert answers() == whole
        assert len(visitor.publish(file(picture(16, 16)))) == 1


# Refusals


@pytest.mark.parametrize("fault", REFUSALS)
def test_a_refusal_says_so_and_nothing_is_done(visitor: Owner, spoilt: Spoilt, fault: str) -> None:
    if (visitor.site, fault) == ("weibo", "block"):
        pytest.skip("weibo has no block page")
    learn_tokens(visitor)
    address, before = visitor.address(visitor.photos[0]), kept(visitor)
    with spoilt(**{fault: 1}):
        answers = [get(visitor, address) for _ in range(12)]
        if fault == "expired":
            assert {(answer.status_code, answer.text) for answer in answers} == {(403, "URL signature expired")}
            assert get(visitor, ALBUM[visitor.site]).status_code == 200
            return
        answers += [get(visitor, ALBUM[visitor.site]), send(visitor, file(picture(16, 16)))]
        assert kept(visitor) == before
        assert requests.post(visitor.origin + LOGIN[visitor.site], allow_redirects=False).status_code == 303
    for answer in answers:
        assert '<div id="sandbox-banner"><b>sandbox</b>' in answer.text
        assert not answer.headers["Content-Type"].startswith("image/")
    statuses = {(answer.status_code, answer.headers.get("Retry-After")) for answer in answers}
    if fault == "busy":
        assert statuses == {(418, None), (429, "1")}
    elif fault == "error-before":
        assert statuses == {(502, None), (503, None)}
    else:
        assert statuses == {(200, None)}
    if fault == "captcha":
        mark = "Security check" if visitor.site == "facebook" else "请输入验证码"
        assert all(mark in answer.text and "captcha" in answer.text for answer in answers)
    if fault == "block" and visitor.site == "douban":
        assert all(urlsplit(answer.url).path == "/misc/sorry" for answer in answers)
    elif fault == "block":
        assert all("CometErrorRoot.react" in answer.text for answer in answers)


def test_error_after_has_done_what_was_asked(visitor: Owner, spoilt: Spoilt) -> None:
    learn_tokens(visitor)
    learn_album(visitor)
    with spoilt(error_after=1):
        assert send(visitor, file(picture(16, 16))).status_code in (502, 503)
        assert kept(visitor) == ((4, 0) if visitor.site == "facebook" else (3, 1))
        assert visitor.page(ALBUM[visitor.site])  # what is no POST is answered
        assert delete(visitor, visitor.photos[0]).status_code in (502, 503)
        assert visitor.received()["deleted"] == (1 if visitor.site == "douban" else 3)
        drafts = kept(visitor)[1]
    with spoilt():
        draft = visitor.draft(file(picture(16, 16))) if visitor.site != "facebook" else ""
    with spoilt(error_after=1):
        if visitor.site == "weibo":
            token = {"X-XSRF-TOKEN": visitor.http.cookies["XSRF-TOKEN"]}
            form = {"content": "t", "pic_id": f'["{draft}"]', "visible": "1"}
            visitor.http.post(f"{visitor.origin}/ajax/statuses/update", data=form, headers=token)
        elif visitor.site == "douban":
            form = {"ck": visitor.http.cookies["ck"], f"desc_{draft}": "t"}
            visitor.http.post(f"{visitor.origin}/photos/album/1000001/upload", data=form)
        assert kept(visitor)[1] == drafts


def test_the_limit_is_on_files(visitor: Owner, spoilt: Spoilt) -> None:
    address = visitor.address(visitor.photos[0])
    with spoilt(limit=3):
        assert [get(visitor, address).status_code for _ in range(5)] == [200, 200, 200, 418, 418]
        assert get(visitor, ALBUM[visitor.site]).status_code == 200
    with spoilt(limit=0):
        assert get(visitor, address).status_code == 418


# Answers that are spoilt


def test_latency_is_a_fifth_to_half_a_second(visitor: Owner, spoilt: Spoilt) -> None:
    with spoilt(latency=1):
        waits = []
        for _ in range(6):
            start = time.monotonic()
            assert get(visitor, ALBUM[visitor.site]).status_code == 200
            waits.append(time.monotonic() - start)
    assert 0.2 <= min(waits) < np.mean(waits) < 0.6
    assert max(waits) - min(waits) > 0.03


def test_cut_closes_the_connection_in_the_middle_of_the_body(
    visitor: Owner, spoilt: Spoilt, capfd: pytest.CaptureFixture[str]
) -> None:
    learn_tokens(visitor)
    address = urlsplit(visitor.address(visitor.photos[0]))
    before = kept(visitor)
    with spoilt(cut=1):
        where = urlsplit(visitor.origin)
        with socket.create_connection((where.hostname, where.port or 0), timeout=10) as connection:
            path = address._replace(scheme="", netloc="").geturl()
            connection.sendall(
                f"GET {path} HTTP/1.1\r\nHost: {where.netloc}\r\nReferer: {visitor.origin}/\r\n\r\n".encode()
            )
            answer = b"".join(iter(lambda: connection.recv(4096), b""))  # ends when the server closes, and only then
        head, _, body = answer.partition(b"\r\n\r\n")
        found = re.search(rb"content-length: (\d+)", head)
        assert found
        assert len(body) == int(found[1]) // 2
        for attempt in (lambda: get(visitor, ALBUM[visitor.site]), lambda: send(visitor, file(picture(16, 16)))):
            with pytest.raises(requests.exceptions.ChunkedEncodingError):
                attempt()
        assert sum(kept(visitor)) == sum(before) + 1  # the answer was lost, not the upload
    assert capfd.readouterr().err == ""


def test_a_file_can_be_resumed(visitor: Owner, spoilt: Spoilt) -> None:
    address = visitor.address(visitor.photos[0])
    whole = get(visitor, address)
    rest = get(visitor, address, Range="bytes=100-", If_Range=whole.headers["ETag"])
    assert (rest.status_code, rest.content) == (206, whole.content[100:])
    assert rest.headers["Content-Range"] == f"bytes 100-{len(whole.content) - 1}/{len(whole.content)}"
    assert rest.headers["ETag"] == whole.headers["ETag"]
    other = get(visitor, address, Range="bytes=100-", If_Range='"other"')
    assert (other.status_code, other.content) == (200, whole.content)
    assert get(visitor, address, Range=f"bytes={len(whole.content)}-").status_code == 416
    body, tries = b"", 0
    with spoilt(cut=0.9, seed=1):
        while len(body) < len(whole.content):
            tries += 1
            path = urlsplit(address)._replace(scheme="", netloc="").geturl()
            headers = {
                "Referer": f"{visitor.origin}/",
                "Range": f"bytes={len(body)}-",
                "If-Range": whole.headers["ETag"],
            }
            answer = requests.get(visitor.origin + path, headers=headers, stream=True)
            assert answer.status_code == 206
            try:
                for chunk in answer.iter_content(64):
                    body += chunk
            except requests.exceptions.ChunkedEncodingError:
                continue
    assert body == whole.content
    assert tries > 2


def test_expiry_shows_the_signed_out_face_in_the_middle_of_a_batch(visitor: Owner, spoilt: Spoilt) -> None:
    learn_tokens(visitor)
    faces = []
    address = visitor.address(visitor.photos[0])
    with spoilt(expiry=0.2, seed=4):
        for _ in range(40):
            answer = send(visitor, file(picture(16, 16)))
            faces.append(answer.ok and answer.headers["Content-Type"] == "application/json")
            assert get(visitor, address).status_code == 200  # files need no session
        if visitor.site == "weibo":
            assert answer.text == "<data>100006</data>"
        elif visitor.site == "douban":
            assert answer.status_code == 403
        else:
            assert answer.url == visitor.origin + LOGIN["facebook"]
    assert faces[0] and not faces[-1]
    assert sorted(faces, reverse=True) == faces
    assert sum(kept(visitor)) == 3 + sum(faces)


def test_pages_of_an_album_are_shuffled_and_repeat_but_miss_nothing(visitor: Owner, spoilt: Spoilt) -> None:
    uploads = [file(picture(16, 16)) for _ in range(52)]
    batch = 9 if visitor.site == "weibo" else 52
    photos = [] if visitor.site == "facebook" else visitor.photos
    for start in range(0, 52, batch):
        photos = photos + visitor.publish(*uploads[start : start + batch])
    photos = photos[::-1] if visitor.site == "weibo" else photos
    with spoilt(reordered=1):
        once, again = visitor.album(), visitor.album()
        assert once != photos and once != again
        assert sorted(once) == sorted(again) == sorted(photos)
    with spoilt(duplicate=1):
        seen = visitor.album()
        assert list(dict.fromkeys(sorted(seen))) == sorted(photos)
        assert len(seen) == len(photos) + (4 if visitor.site == "douban" else 3)
    with spoilt(reordered=0.5, duplicate=0.5):
        assert all(set(visitor.album()) == set(photos) for _ in range(5))


def test_wrong_is_another_photos_file(visitor: Owner, spoilt: Spoilt) -> None:
    addresses = list(map(visitor.address, visitor.photos))
    whole = [get(visitor, address).content for address in addresses]
    with spoilt(wrong=1):
        for number, address in enumerate(addresses):
            assert {get(visitor, address).content for _ in range(12)} == {*whole} - {whole[number]}
        received = visitor.received()
    assert {each["id"] for image in received["images"] for each in image["photos"]} == set(visitor.photos)


def test_wrong_needs_another_photo(tmp_path: Path) -> None:
    with serve("weibo", state=tmp_path, faults={"wrong": 1}) as origin:
        visitor, upload = Visitor("weibo", origin), file(picture(16, 16))
        first, second = visitor.publish(upload, upload)
        assert visitor.download(visitor.address(first)) == visitor.download(visitor.address(second))


def test_truncated_is_a_whole_answer_with_half_a_file(visitor: Owner, spoilt: Spoilt) -> None:
    address = visitor.address(visitor.photos[0])
    whole = get(visitor, address).content
    with spoilt(truncated=1):
        answer = get(visitor, address)
        assert answer.content == whole[: len(whole) // 2]
        assert int(answer.headers["Content-Length"]) == len(answer.content)
        assert get(visitor, ALBUM[visitor.site]).text.endswith("</html>\n")
    with pytest.raises(OSError, match=r"(?i)truncated"), Image.open(io.BytesIO(answer.content)) as image:
        image.load()


# Watermarks


def test_a_watermark_stays_with_its_photo_and_received_knows_it(visitor: Owner, spoilt: Spoilt, tmp_path: Path) -> None:
    uploads = [file(picture(120, 90)) for _ in range(20 if visitor.site != "weibo" else 9)]

    def served(photo: str) -> bytes:
        return get(visitor, visitor.address(photo)).content

    with spoilt(watermark=0.5, seed=3):
        photos = visitor.publish(*uploads)
        files = {photo: served(photo) for photo in photos}
        received = visitor.received()
    marked = {each["id"]: each["watermarked"] for image in received["images"] for each in image["photos"]}
    assert not any(marked[photo] for photo in visitor.photos)
    assert any(marked.values())
    for rendition in (tmp_path / "renditions").iterdir():
        rendition.unlink()
    with spoilt():
        plain = visitor.publish(*uploads)
        for photo, same in zip(photos, plain, strict=True):
            assert served(photo) == files[photo]
            if not marked[photo]:
                assert served(same) == files[photo]
                continue
            difference = np.abs(pixels(served(same)) - pixels(files[photo])).max(axis=2)
            mask = watermark.watermark_mask((120, 90))
            assert difference[mask].mean() > 10  # the same picture without a stamp has none
            assert difference[:60].max() == 0  # above the stamp


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=float)


def test_another_codecs_file_has_the_watermark_at_its_own_size(tmp_path: Path) -> None:
    with serve("weibo", state=tmp_path, codec="resize:0.5+webp:100", faults={"watermark": 1}) as origin:
        visitor = Visitor("weibo", origin)
        [photo] = visitor.publish(file(Image.new("RGB", (400, 300), (120, 120, 120))))
        served = pixels(visitor.download(visitor.address(photo)))
    assert served.shape == (150, 200, 3)
    mask = watermark.watermark_mask((200, 150))
    changed = np.abs(served - 120).max(axis=2) > 12
    assert (changed & mask).sum() > 0.8 * mask.sum()
    assert (changed & ~mask).sum() < 0.2 * mask.sum()


@pytest.mark.parametrize("size", [(16, 16), (64, 48), (224, 224), (2048, 1365)])
def test_the_mask_is_where_the_stamp_is(size: tuple[int, int]) -> None:
    mask = watermark.watermark_mask(size)
    assert mask.shape == size[::-1]
    for grey in (0, 128, 255):
        image = Image.new("RGB", size, (grey,) * 3)
        changed = np.abs(np.asarray(watermark.add_watermark(image), dtype=float) - grey).max(axis=2)
        assert changed[~mask].max() <= watermark.MIN_VISIBLE_ALPHA
    assert 0 < mask.mean() < 0.25
    rows, columns = np.nonzero(mask)
    assert rows.min() >= size[1] / 2
    assert size[0] - columns.max() <= 0.06 * size[0] + 6


# What stays whole


def test_received_is_honest_whatever_strikes(visitor: Owner, spoilt: Spoilt) -> None:
    learn_tokens(visitor)
    uploads = [file(picture(16, 16)) for _ in range(40)]
    with spoilt(all=0.3, latency=0, expiry=0, captcha=0.1, seed=5):
        told = 0
        for upload in uploads:
            try:
                answer = send(visitor, upload)
                told += answer.status_code == 200 and answer.headers["Content-Type"] == "application/json"
            except requests.RequestException:
                continue
        received = visitor.received()
    with spoilt():
        assert visitor.received() == received
    assert 0 < told < sum(kept(visitor)) - 3 < 40
    sent = {hashlib.sha256(upload).hexdigest() for upload in uploads}
    stored = [image for image in received["images"] if image["sha256"] in sent]
    assert all(image["times"] == 1 for image in stored)
    assert len(stored) == (sum(kept(visitor)) - 3 if visitor.site == "facebook" else 0)


@pytest.mark.parametrize("site", ["facebook", "weibo"])
def test_a_kill_leaves_the_store_whole(site: str, tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from collect.sandbox import serve\n"
        "faults = {'error-after': 0.2, 'cut': 0.2, 'watermark': 0.5}\n"
        "with serve(sys.argv[1], state=Path(sys.argv[2]), faults=faults) as origin:\n"
        "    print(origin, flush=True); time.sleep(600)"
    )
    told = set()
    with serve(site, state=tmp_path) as origin:
        visitor = Visitor(site, origin)
    for turn in range(3):
        command = [sys.executable, "-c", program, site, tmp_path]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            visitor.origin = process.stdout.readline().strip()
            killer = subprocess.Popen(["sh", "-c", f"sleep 0.{3 + turn}; kill -9 {process.pid}"])
            while process.poll() is None:
                upload = file(picture(16, 16))
                try:
                    visitor.publish(upload)
                    told.add(hashlib.sha256(upload).hexdigest())
                except (requests.RequestException, AssertionError, ValueError):
                    continue
            killer.wait()
    assert told
    with serve(site, state=tmp_path) as origin:
        visitor = Visitor(site, origin)
        images = visitor.received()["images"]
        assert told <= {image["sha256"] for image in images}
        assert all(image["times"] == 1 for image in images)
        for image in images:
            original = (tmp_path / "originals" / image["sha256"]).read_bytes()
            assert hashlib.sha256(original).hexdigest() == image["sha256"]
            assert pixels(visitor.download(visitor.address(image["photos"][0]["id"]))).shape == (16, 16, 3)


# Deletion


def test_what_is_deleted_is_gone_and_counted(visitor: Owner) -> None:
    learn_tokens(visitor)
    first, *others = visitor.photos
    [kept_photo] = visitor.publish(file(picture(16, 16)))
    addresses = {photo: visitor.address(photo) for photo in (first, kept_photo)}
    if visitor.site != "douban":
        pattern = r"set=(a\.\d+)" if visitor.site == "facebook" else r'data-mid="(\d+)"'
        visitor.album_id = re.findall(pattern, visitor.page(ALBUM[visitor.site]))[1]  # the newest comes first
    answer = delete(visitor, first)
    gone = [first] if visitor.site == "douban" else [first, *others]
    if visitor.site == "weibo":
        assert answer.json() == {"ok": 1}
        assert delete(visitor, first).json()["ok"] == 0
    else:
        back = "/photos/album/1000001/" if visitor.site == "douban" else "/me/photos_albums"
        assert (answer.status_code // 100, answer.headers["Location"]) == (3, back)
        assert delete(visitor, first).status_code == 404
    album = visitor.album()
    assert not set(gone) & set(album)
    assert kept_photo in album
    assert [get(visitor, addresses[photo]).status_code for photo in (first, kept_photo)] == [404, 200]
    if visitor.site == "weibo":
        assert first not in visitor.page("/")
        assert visitor.post("again", [first], "1")["ok"] == 0
    received = visitor.received()
    assert (received["photos"], received["unpublished"], received["deleted"]) == (4 - len(gone), 0, len(gone))
    shown = {each["id"] for image in received["images"] for each in image["photos"]}
    assert shown == {*visitor.photos, kept_photo} - {*gone}


@on("weibo")
def test_weibo_takes_the_post_as_json_too_and_a_picture_in_two_posts_stays(visitor: Owner) -> None:
    photos = visitor.photos
    again = visitor.post("again", photos[:1], "1")["data"]["idstr"]
    headers = {"X-XSRF-TOKEN": visitor.http.cookies["XSRF-TOKEN"]}
    assert visitor.json("/ajax/statuses/destroy", json={"id": again}, headers=headers) == {"ok": 1}
    assert sorted(visitor.album()) == sorted(photos)
    assert get(visitor, visitor.address(photos[0])).status_code == 200
    assert visitor.json("/ajax/statuses/destroy", json=[], headers=headers)["ok"] == 0


def test_deletion_needs_the_token_and_a_session(visitor: Owner) -> None:
    learn_tokens(visitor)
    learn_album(visitor)
    before = visitor.received()
    stranger = requests.Session()
    path, form = {
        "douban": (f"/photos/photo/{visitor.photos[0]}/delete", {"ck": "x"}),
        "facebook": ("/media/set/delete", {"fb_dtsg": "x", "set": visitor.album_id}),
        "weibo": ("/ajax/statuses/destroy", {"id": visitor.album_id}),
    }[visitor.site]
    assert visitor.http.post(visitor.origin + path, data=form).status_code == 403
    answer = stranger.post(visitor.origin + path, data=form)
    if visitor.site == "douban":
        assert answer.status_code == 403
    elif visitor.site == "facebook":
        assert answer.url == visitor.origin + LOGIN["facebook"]
    else:
        assert answer.json()["ok"] == -100
    assert visitor.received() == before


@pytest.mark.browser
@on("douban", "facebook")
def test_the_pages_delete_after_a_question(visitor: Owner) -> None:
    photo = visitor.photos[0]
    learn_album(visitor)
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=launch.find_browsers(playwright, whole=False)[0]) as chromium,
    ):
        context = chromium.new_context(base_url=visitor.origin)
        page = context.new_page()
        page.goto(LOGIN[visitor.site])
        page.get_by_role("button").click()
        if visitor.site == "douban":
            page.goto(f"/photos/photo/{photo}/")
            page.get_by_role("button", name="删除照片").click()  # Playwright dismisses the question
            assert visitor.received()["deleted"] == 0
            page.once("dialog", lambda dialog: dialog.accept())
            page.get_by_role("button", name="删除照片").click()
            page.wait_for_url("**/photos/album/1000001/")
        else:
            page.goto(f"/media/set/?set={visitor.album_id}")
            page.get_by_role("button", name="Delete album").click()
            page.get_by_role("dialog").get_by_role("button", name="Delete album").click()
            page.wait_for_url("**/me/photos_albums")
    assert visitor.received()["deleted"] == (1 if visitor.site == "douban" else 3)
