"""Each adapter in a real browser, against its sandbox: there and back, exactly once, whatever is cut off when."""

import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import requests
from PIL import Image, JpegImagePlugin
from playwright.sync_api import Page, Route
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

import params
from collect import sandbox
from collect.browser.launch import end_browsers
from collect.browser.session import BrowserSession, open_session
from collect.errors import PageChanged, RateLimited, SubmitFailed, TransientError
from collect.ledger.ledger import Ledger
from collect.platform import Batch, Site, load_platform
from collect.platforms.facebook import Facebook
from collect.platforms.weibo import Weibo
from collect.round_trip import Original, Outcome, read_round_trips, round_trip
from collect.round_trip.cleanup import cleanup
from collect.round_trip.connect import announce
from collect.sandbox.site import Site as Sandbox
from collect.sandbox.sites import douban, facebook, weibo
from collect.sandbox.store import Store
from params import Params, PlatformRow, UserError

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[3]
SITES = ["douban", "weibo", "facebook"]
SANDBOXES: dict[str, type[Sandbox]] = {"douban": douban.Sandbox, "weibo": weibo.Sandbox, "facebook": facebook.Sandbox}
SETTINGS = params.load(ROOT / "params.yaml")


def collect(site: str, originals: list, origin: str, settings: Params = SETTINGS, **options) -> Outcome:
    return round_trip(site, settings, originals, Path("out", site), generation=1, origin=origin, **options)


def received(origin: str) -> dict[str, int]:
    """Ask the sandbox how often it has received what."""
    return {each["sha256"]: each["times"] for each in requests.get(f"{origin}/sandbox/received").json()["images"]}


@pytest.mark.parametrize("site", SITES)
def test_there_and_back_exactly_once_over_several_batches_and_pages(site, photos, workplace) -> None:
    originals = photos(32)
    with sandbox.serve(site, state=workplace / "site") as origin:
        first = collect(site, originals, origin, limit=7)
        outcome = collect(site, originals, origin)
        again = collect(site, originals, origin)
        assert received(origin) == {each.sha256: 1 for each in originals}
    assert (first.uploaded, first.complete, outcome.uploaded, outcome.complete) == (7, 7, 25, 32)
    assert (again.uploaded, again.downloaded, again.complete) == (0, 0, 32)

    rows = read_round_trips(workplace / "out" / site)
    assert [row.source for row in rows] == sorted(each.name for each in originals)
    sizes, tables, samplings, scans = set(), set(), set(), set()
    for row in rows:
        body = (workplace / "out" / site / row.file).read_bytes()
        assert hashlib.sha256(body).hexdigest() == row.sha256
        assert len(body) == row.bytes
        with Image.open(workplace / "out" / site / row.file) as image:
            assert isinstance(image, JpegImagePlugin.JpegImageFile)
            sizes.add(image.size)
            tables.add(str(image.quantization))
            samplings.add(JpegImagePlugin.get_sampling(image))
            scans.add("progressive" in image.info)
    assert (sizes, samplings, scans) == {
        "douban": ({(64, 64)}, {2}, {False}),
        "weibo": ({(64, 64)}, {0}, {False}),
        "facebook": ({(64, 64)}, {2}, {True}),
    }[site]
    assert len(tables) == 1 or site == "facebook"
    assert "?" not in (workplace / "out" / site / "manifest.jsonl").read_text()


@pytest.mark.parametrize(("site", "audience"), [("douban", "仅自己可见"), ("weibo", "1"), ("facebook", "Only me")])
def test_what_is_published_is_for_its_owner_alone(site, audience, photos, workplace) -> None:
    with sandbox.serve(site, state=workplace / "site") as origin:
        collect(site, photos(2), origin)
        images = requests.get(f"{origin}/sandbox/received").json()["images"]
    assert [photo["audience"] for each in images for photo in each["photos"]] == [audience] * 2


@pytest.mark.parametrize(
    ("site", "page", "choice"),
    [
        ("weibo", "/", "audience.textContent = name; audience.dataset.visible = visible;"),
        ("facebook", "/media/set/create", "audience.textContent = choices.querySelector(':checked').value;"),
    ],
)
def test_nothing_is_published_when_the_page_does_not_keep_the_audience(site, page, choice, photos, workplace) -> None:
    def deaf(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace(choice, ""))

    with sandbox.serve(site, state=workplace / "site") as origin:
        with open_session(load_platform(site, SETTINGS.platform(site), origin=origin)) as session:
            session.page.set_default_timeout(1_000)
            session.page.route(f"{origin}{page}", deaf)
            with pytest.raises(PageChanged, match="Only me"):
                session.upload(Batch("comreadv x", [each.path for each in photos(1)]))
        assert received(origin) == {}


@pytest.mark.parametrize("audience", ["所有人可见", "公开", "仅朋友可见"])
def test_nothing_goes_into_a_douban_album_that_others_see(audience, photos, workplace, monkeypatch) -> None:
    monkeypatch.setattr(douban, "ALBUM", douban.ALBUM._replace(audience=audience))
    with sandbox.serve("douban", state=workplace / "site") as origin:
        with pytest.raises(UserError, match=f"others see the album 1000001. Its page says: {audience}"):
            collect("douban", photos(1), origin)
        answer = requests.get(f"{origin}/sandbox/received").json()
    assert (answer["photos"], answer["unpublished"]) == (0, 0)


def test_a_douban_album_that_is_not_there_is_told_at_once(photos, workplace) -> None:
    row = SETTINGS.platform("douban").model_copy(update={"album": "2"})
    settings = SETTINGS.model_copy(update={"platforms": {"douban": row}})
    with sandbox.serve("douban", state=workplace / "site") as origin:
        with pytest.raises(UserError, match="this account has no album 2"):
            collect("douban", photos(1), origin, settings)
        with (
            open_session(load_platform("douban", row, origin=origin)) as session,
            pytest.raises(UserError, match="this account has no album 2"),
        ):
            session.read_back(Batch("cut off", [], known={0: "1"}))


def test_a_private_douban_album_is_asked_once_whatever_it_is_called(photos, workplace, monkeypatch) -> None:
    monkeypatch.setattr(douban, "ALBUM", douban.ALBUM._replace(name="公开课"))
    pages: list[str] = []
    with (
        sandbox.serve("douban", state=workplace / "site") as origin,
        open_session(load_platform("douban", SETTINGS.platform("douban"), origin=origin)) as session,
    ):
        session.page.on("framenavigated", lambda frame: pages.append(frame.url.rpartition("/")[2]))
        for each in photos(2):
            session.upload(Batch("comreadv x", [each.path]))
    assert pages == ["", "upload", "", "upload", ""]


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("cut", ["before", "after"])
def test_an_attempt_whose_answer_was_lost_is_settled_by_the_album(site, cut, photos, workplace, monkeypatch) -> None:
    originals = photos(12)

    def lost(*_: object) -> None:
        raise ConnectionError("cut off")

    with sandbox.serve(site, state=workplace / "site") as origin:
        with monkeypatch.context() as patched, pytest.raises(ConnectionError):
            if cut == "after":
                patched.setattr(Ledger, "record_outcome", lost)
            else:
                patched.setattr(type(load_platform(site, SETTINGS.platform(site))), "upload", lost)
            collect(site, originals, origin)
        assert len(received(origin)) == (
            0 if cut == "before" else min(12, load_platform(site, SETTINGS.platform(site)).batch_size)
        )
        assert collect(site, originals, origin).complete == 12
        assert received(origin) == {each.sha256: 1 for each in originals}
    pixels = {row.source: (workplace / "out" / site / row.file) for row in read_round_trips(workplace / "out" / site)}
    for each in originals:  # nothing is swapped: the file is nearest to its own original
        with Image.open(pixels[each.name]) as image:
            assert nearest(image, originals) == each.name


def nearest(image: Image.Image, originals: list) -> str:
    small = image.convert("RGB").resize((8, 8))

    def distance(original) -> int:
        with Image.open(original.path) as other:
            return sum(abs(a - b) for a, b in zip(small.tobytes(), other.resize((8, 8)).tobytes(), strict=True))

    return min(originals, key=distance).name


@pytest.mark.slow
def test_kill_9_in_the_middle_uploads_nothing_twice(photos, workplace) -> None:
    originals = photos(30)
    (workplace / "data" / "images").mkdir(parents=True)
    rows = [{"name": each.name, "split": "train", "source": "x", "label": None, "crop": None} for each in originals]
    (workplace / "data" / "images" / "train").symlink_to(workplace / "photos")
    lines = [json.dumps(row | {"sha256": each.sha256}) for row, each in zip(rows, originals, strict=True)]
    (workplace / "data" / "images" / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    for name in ("params.yaml", "fingerprints"):
        (workplace / name).symlink_to(ROOT / name)
    with sandbox.serve("weibo", state=workplace / "site") as origin:
        command = [sys.executable, "-m", "collect", "--platform", "weibo", "--origin", origin]
        killed = 0
        for least in (3, 12, 21):
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            while process.poll() is None and ledger_counts(workplace) < least:
                time.sleep(0.02)
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                killed += 1
            process.wait()
        assert killed == 3
        last = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "30 of 30 images" in last.stdout
        assert received(origin) == {each.sha256: 1 for each in originals}


def test_a_browser_that_ends_in_the_middle_gives_way_to_another(photos, workplace, monkeypatch) -> None:
    originals = photos(30)
    with sandbox.serve("weibo", state=workplace / "site") as origin:
        record, ended = Ledger.record_outcome, []

        def record_and_end(self: Ledger, *arguments: object, **more: object) -> None:
            record(self, *arguments, **more)
            if len(ended) < 2:
                ended.append(end_browsers())

        monkeypatch.setattr(Ledger, "record_outcome", record_and_end)
        assert collect("weibo", originals, origin).complete == 30
        assert len(ended) == 2 and received(origin) == {each.sha256: 1 for each in originals}


def test_a_browser_that_hangs_is_ended(photos, workplace, monkeypatch) -> None:
    monkeypatch.setattr("collect.browser.session.SANDBOX_HANG_TIMEOUT_S", 3.0)
    originals = photos(3)
    with sandbox.serve("weibo", state=workplace / "site") as origin:
        upload, hung = Weibo.upload, []

        def hang(self: Weibo, page: Page, batch: Batch) -> list[str]:
            if not hung:
                hung.append(True)
                page.evaluate("() => new Promise(() => {})")
            return upload(self, page, batch)

        monkeypatch.setattr(Weibo, "upload", hang)
        assert collect("weibo", originals, origin).complete == 3
        assert received(origin) == {each.sha256: 1 for each in originals}


def ledger_counts(workplace: Path) -> int:
    """Count the images that the ledger has a remote id for."""
    file = workplace / "data" / "ledger" / "ledger.db"
    if not file.exists():
        return 0
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as ledger:
        try:
            return ledger.execute("SELECT count(*) FROM uploads WHERE remote_id IS NOT NULL").fetchone()[0]
        except sqlite3.OperationalError:
            return 0


@pytest.mark.parametrize("site", ["douban", "weibo"])
@pytest.mark.parametrize("lost", [False, True], ids=["all is well", "the last answer is lost"])
def test_one_file_that_fails_leaves_the_others_of_its_batch_up(site, lost, photos, workplace, monkeypatch) -> None:
    originals, sent = photos(8), []
    keep = SANDBOXES[site].add_photos

    def keep_but_one(self: Sandbox, uploads: dict[str, bytes]) -> None:
        sent.append(uploads)
        if len(sent) == 3:
            raise HTTPException(503)
        keep(self, uploads)

    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("cut off")

    monkeypatch.setattr(SANDBOXES[site], "add_photos", keep_but_one)
    with sandbox.serve(site, state=workplace / "site") as origin:
        if lost:
            with monkeypatch.context() as patched, pytest.raises(ConnectionError):
                patched.setattr(Ledger, "record_outcome", fail)
                collect(site, originals, origin)
        outcome = collect(site, originals, origin)
        assert (outcome.complete, outcome.rejected) == (8, 0)
        assert received(origin) == {each.sha256: 1 for each in originals}
    assert len(sent) == 8 + 1


@pytest.mark.parametrize("site", ["douban", "weibo"])
def test_a_file_that_always_fails_holds_up_no_other(site, photos, workplace, monkeypatch) -> None:
    originals, keep = photos(12), SANDBOXES[site].add_photos
    poison = {each.path.read_bytes() for each in originals[:3]}

    def keep_others(self: Sandbox, uploads: dict[str, bytes]) -> None:
        if poison & set(uploads.values()):
            raise HTTPException(503)
        keep(self, uploads)

    monkeypatch.setattr(SANDBOXES[site], "add_photos", keep_others)
    monkeypatch.setattr("collect.round_trip.retry_policy.MAX_FAILURES", 3)
    with sandbox.serve(site, state=workplace / "site") as origin:
        with pytest.raises(UserError, match="HTTP 503"):
            collect(site, originals, origin)
        assert received(origin) == {each.sha256: 1 for each in originals[3:]}
        monkeypatch.setattr(SANDBOXES[site], "add_photos", keep)
        assert collect(site, originals, origin).complete == 12
        assert received(origin) == {each.sha256: 1 for each in originals}


@pytest.mark.parametrize("site", SITES)
def test_an_album_that_cannot_be_read_settles_nothing(site, photos, workplace, monkeypatch) -> None:
    originals = photos(3)

    def lost(*_: object) -> None:
        raise ConnectionError("cut off")

    with sandbox.serve(site, state=workplace / "site") as origin:
        with monkeypatch.context() as patched, pytest.raises(ConnectionError):
            patched.setattr(Ledger, "record_outcome", lost)
            collect(site, originals, origin)
        blocked = {"content_type": "text/html", "body": "<p>sandbox: CometErrorRoot.react /misc/sorry</p>"}
        adapter = load_platform(site, SETTINGS.platform(site), origin=origin)
        with open_session(adapter) as session:
            session.page.set_default_timeout(1_000)
            album = {"douban": "**/photos/album/*/", "weibo": "**/ajax/profile/**", "facebook": "**/photos_albums"}
            session.page.context.route(album[site], lambda route: route.fulfill(**blocked))
            if site == "weibo":  # read by a request that no page route sees
                session.page.context.clear_cookies()
            with pytest.raises(UserError, match=r"turns us away|signed in|not as collect"):
                session.read_back(Batch("comreadv x", [each.path for each in originals], known={0: "1"}))
        assert collect(site, originals, origin).uploaded == 0
        assert received(origin) == {each.sha256: 1 for each in originals}


@pytest.fixture
def douban_album(photos, workplace, monkeypatch) -> Iterator[tuple[BrowserSession, list[str]]]:
    """Give a session at an album of ten pages, and the ids of its photos as they came in."""
    monkeypatch.setattr(douban, "PAGE", 2)
    with sandbox.serve("douban", state=workplace / "site") as origin:
        collect("douban", photos(20), origin)
        with sqlite3.connect(workplace / "site/sandbox.db") as site:
            query = "SELECT photos.key FROM entries JOIN photos ON photos.id = photo ORDER BY entries.id"
            ids = [key for (key,) in site.execute(query)]
        with open_session(load_platform("douban", SETTINGS.platform("douban"), origin=origin)) as session:
            yield session, ids


def show_the_newest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = Store.entries
    monkeypatch.setattr(Store, "entries", lambda store, album: entries(store, album)[::-1])


@pytest.mark.parametrize("newest_first", [False, True])
def test_douban_tells_of_the_newest_photos_without_reading_all(newest_first, douban_album, monkeypatch) -> None:
    session, ids = douban_album
    if newest_first:
        show_the_newest_first(monkeypatch)
    pages: list[str] = []
    session.page.on("framenavigated", lambda frame: pages.append(frame.url))
    newest = dict(enumerate(ids[-4:]))
    assert session.read_back(Batch("newest", [], known=newest)) == newest
    assert len(pages) == (7 if newest_first else 5)


@pytest.mark.parametrize("drafts_have_pages", [False, True])
def test_a_douban_batch_that_was_never_published_is_told_by_its_pages(drafts_have_pages, douban_album) -> None:
    session, _ids = douban_album
    if drafts_have_pages:
        session.page.context.route("**/photos/photo/*/", lambda route: route.fulfill(body="照片"))
    pages: list[str] = []
    session.page.on("framenavigated", lambda frame: pages.append(frame.url))
    assert session.read_back(Batch("drafts", [], known={0: "1", 1: "2"})) == {}
    assert len([each for each in pages if "/photos/album/" in each]) == (3 + 10 if drafts_have_pages else 3)


def test_a_douban_batch_that_went_into_another_album_is_not_taken_for_unpublished(douban_album) -> None:
    session, ids = douban_album
    session.platform.row = session.platform.row.model_copy(update={"album": "2"})
    session.page.context.route("**/photos/album/2/", lambda route: route.fulfill(body='<p class="photolst"></p>'))
    with pytest.raises(UserError, match="is not in the album 2, and may be in 1000001"):
        session.read_back(Batch("cut off", [], known={0: ids[0]}))


@pytest.mark.parametrize("lacks", ["nothing", r'<a href="\?m_start=\d+">\d+</a>', r'<span class="prev">.*?</span>'])
def test_every_photo_of_a_douban_album_is_found_whatever_links_it_lacks(lacks, douban_album, monkeypatch) -> None:
    session, ids = douban_album
    page = douban.Sandbox.page

    def without(self, title: str, body: str, status: int = 200) -> HTMLResponse:
        return page(self, title, re.sub(lacks, "", body), status)

    monkeypatch.setattr(douban.Sandbox, "page", without)
    assert session.read_back(Batch("all", [], known=dict(enumerate([*ids, "1"])))) == dict(enumerate(ids))


def test_no_photo_is_missed_in_a_douban_album_that_grows_meanwhile(douban_album, monkeypatch) -> None:
    session, ids = douban_album
    show_the_newest_first(monkeypatch)
    album_page, pages = douban.Sandbox.album_page, 0

    def growing(self, request: Request) -> Response:
        nonlocal pages
        pages += 1
        if pages == 4:  # another collector's batch, of more than a page
            others = {str(number): bytes([number]) for number in range(1, 5)}
            self.store.add_photos(others, None)
            self.store.publish(douban.ALBUM.key, dict.fromkeys(others, ""))
        return album_page(self, request)

    monkeypatch.setattr(douban.Sandbox, "album_page", growing)
    known = dict(enumerate(ids[4:8]))
    assert session.read_back(Batch("in the middle", [], known=known)) == known


def test_what_is_gone_from_douban_is_no_error_but_to_be_signed_out_is(photos, workplace) -> None:
    def shown() -> int:
        return requests.get(f"{origin}/sandbox/received").json()["photos"]

    with sandbox.serve("douban", state=workplace / "site") as origin:
        collect("douban", photos(3), origin)
        images = requests.get(f"{origin}/sandbox/received").json()["images"]
        ids = [each["photos"][0]["id"] for each in images]
        with open_session(load_platform("douban", SETTINGS.platform("douban"), origin=origin)) as session:
            session.delete(ids[:1], "")
            session.page.context.clear_cookies()
            with pytest.raises(TransientError, match="nobody is signed in any more"):
                session.delete(ids, "")
            assert shown() == 2
            session.delete(ids, "")
            assert shown() == 0


def with_one_refused(originals: Sequence[Original], position: int) -> list[Original]:
    """Make one of the images a TIFF, which no sandbox takes."""
    file = originals[position].path
    with Image.open(file) as image:
        image.save(file, "TIFF")
    originals = list(originals)
    originals[position] = Original.of(file, originals[position].name)
    return originals


@pytest.mark.parametrize("site", SITES)
def test_the_sites_own_refusal_is_kept_and_the_rest_goes_up(site, photos, workplace, monkeypatch) -> None:
    monkeypatch.setattr("collect.browser.navigation.PAGE_TIMEOUT_S", 3.0)  # how long Facebook's page may stay
    originals = with_one_refused(photos(4), 1)
    with sandbox.serve(site, state=workplace / "site") as origin:
        outcome = collect(site, originals, origin)
        again = collect(site, originals, origin)
        assert received(origin) == {each.sha256: 1 for each in originals if each is not originals[1]}
    assert (outcome.uploaded, outcome.complete, outcome.rejected, again.uploaded) == (3, 3, 1, 0)
    refused = [json.loads(line) for line in Path("out", site, "manifest.jsonl").read_text().splitlines()][1]
    assert refused["source"] == originals[1].name and refused["rejected"]


@pytest.mark.parametrize("site", ["douban", "weibo"])
def test_an_upload_that_is_asked_to_wait_is_no_refusal_of_its_image(site, photos, workplace, monkeypatch) -> None:
    keep, busy = SANDBOXES[site].take_upload, [True] * 2

    def too_often(self, data: bytes) -> Response:
        return JSONResponse({"ret": False, "msg": "上传太频繁,请稍后再试"}) if busy and busy.pop() else keep(self, data)

    monkeypatch.setattr(SANDBOXES[site], "take_upload", too_often)
    with sandbox.serve(site, state=workplace / "site") as origin:
        outcome = collect(site, photos(3), origin)
    assert (outcome.complete, outcome.rejected) == (3, 0)


TROUBLE, CHANGED = TransientError("weibo: the connection was cut."), PageChanged("weibo: the page is another.")


@pytest.mark.parametrize(
    ("troubles", "ends"),
    [([TROUBLE] * 4 + [CHANGED] * 2 + [TROUBLE, CHANGED], False), ([TROUBLE, *[CHANGED] * 3], True)],
    ids=["passing", "for good"],
)
def test_a_changed_page_ends_a_run_only_when_it_stays_changed(troubles, ends, photos, workplace, monkeypatch) -> None:
    upload, left = Weibo.upload, list(troubles)

    def troubled(self, page: Page, batch: Batch) -> list[str]:
        if left:
            raise left.pop(0)
        return upload(self, page, batch)

    monkeypatch.setattr(Weibo, "upload", troubled)
    monkeypatch.setattr("collect.round_trip.retry_policy.backoff_seconds", lambda *_, **__: 0.0)
    with sandbox.serve("weibo", state=workplace / "site") as origin:
        if ends:
            with pytest.raises(PageChanged, match="the page is another"):
                collect("weibo", photos(2), origin)
        else:
            assert collect("weibo", photos(2), origin).complete == 2
    assert left == []


ODD = '[/b] textarea[name^="desc_"] :cat:'  # what rich takes for marks of its own


def test_what_a_site_says_is_told_to_the_letter(photos, workplace, monkeypatch, caplog) -> None:
    upload, left = Weibo.upload, [TransientError(f"weibo: {ODD}")]

    def troubled(self, page: Page, batch: Batch) -> list[str]:
        if left or batch.files[0].read_bytes() == originals[1].path.read_bytes():
            raise left.pop(0) if left else SubmitFailed("weibo: the page stays.", ODD)
        return upload(self, page, batch)

    originals = photos(2)
    monkeypatch.setattr(Weibo, "upload", troubled)
    monkeypatch.setattr("collect.round_trip.quarantine.MAX_TRIES", 2)
    monkeypatch.setattr("collect.round_trip.retry_policy.backoff_seconds", lambda *_, **__: 6.0)
    monkeypatch.setattr("collect.ledger.workers.Heartbeat.rest", lambda *_: None)
    with sandbox.serve("weibo", state=workplace / "site") as origin:
        assert collect("weibo", originals, origin).complete == 1
    said = caplog.text
    assert f"weibo: {ODD} Going on in 0.1 minutes." in said
    assert f"{originals[1].path} is left for the next run. weibo: the page stays. It says: {ODD}" in said
    site = load_platform("weibo", SETTINGS.platform("weibo"))
    assert isinstance(site, Site)
    monkeypatch.setattr("collect.round_trip.connect.NOTICE_S", 0.0)
    announce("my-weibo", site, ODD, 1)
    said = caplog.text
    assert f"1 files go up to the account {ODD}, for its owner's eyes only" in said
    assert "`comreadv collect --platform my-weibo --live --cleanup` deletes them again" in said


def album_without(original: Original, originals: Sequence[Original], workplace: Path, origin: str) -> None:
    """Have Facebook's answer lost after a batch has gone up, and one of its photos deleted by somebody."""

    def lost(*_: object) -> None:
        raise ConnectionError("cut off")

    with pytest.MonkeyPatch.context() as patched, pytest.raises(ConnectionError):
        patched.setattr(Ledger, "record_outcome", lost)
        collect("facebook", originals, origin)
    with sqlite3.connect(workplace / "site/sandbox.db") as site:
        gone = "(SELECT id FROM photos WHERE sha256 = ?)"
        assert site.execute(f"DELETE FROM entries WHERE photo IN {gone}", (original.sha256,)).rowcount == 1


def test_a_photo_gone_from_a_facebook_album_is_told_by_what_is_left(photos, workplace) -> None:
    originals = photos(5)
    with sandbox.serve("facebook", state=workplace / "site", faults={"reordered": 1.0}) as origin:
        album_without(originals[1], originals, workplace, origin)
        outcome = collect("facebook", originals, origin)
        again = collect("facebook", originals, origin)
        assert received(origin) == {each.sha256: 1 for each in originals if each is not originals[1]}
    assert (outcome.complete, outcome.rejected, outcome.missing, again.uploaded) == (4, 1, 0, 0)
    rows = [json.loads(row) for row in Path("out", "facebook", "manifest.jsonl").read_text().splitlines()]
    assert rows.pop(1) == {"source": originals[1].name, "rejected": "it was published and is not shown any more"}
    for row in rows:
        with Image.open(Path("out", "facebook", row["file"])) as image:
            assert nearest(image, originals) == row["source"]


def test_an_album_of_other_images_that_lost_a_photo_holds_up_no_run(photos, workplace, caplog) -> None:
    originals = photos(5)
    with sandbox.serve("facebook", state=workplace / "site") as origin:
        album_without(originals[1], originals[:3], workplace, origin)
        other = collect("facebook", originals[3:], origin)
        assert "the site shows 2 of its 3 images, and nobody can tell which without them" in caplog.text
        own = collect("facebook", originals[:3], origin)
        assert received(origin) == {each.sha256: 1 for each in originals if each is not originals[1]}
    assert (other.complete, own.complete, own.rejected, own.uploaded) == (2, 2, 1, 0)


def test_cleanup_tells_of_an_album_of_which_it_can_delete_nothing(photos, workplace) -> None:
    originals = photos(5)
    with sandbox.serve("facebook", state=workplace / "site") as origin:
        collect("facebook", originals[3:], origin)
        album_without(originals[1], originals[:3], workplace, origin)
        with pytest.raises(UserError, match=r"all is deleted but what is left of comreadv \w+: delete that"):
            cleanup("facebook", SETTINGS, origin=origin)
        assert set(received(origin)) == {originals[0].sha256, originals[2].sha256}


def test_a_facebook_album_that_does_not_say_that_it_has_no_more_settles_nothing(photos, workplace, monkeypatch) -> None:
    originals, page = photos(3), facebook.Sandbox.page
    monkeypatch.setattr("collect.round_trip.retry_policy.MAX_FAILURES", 4)
    with sandbox.serve("facebook", state=workplace / "site") as origin:
        album_without(originals[1], originals, workplace, origin)
        with monkeypatch.context() as patched, pytest.raises(UserError, match="shows 2 of 3 photos"):
            patched.setattr(facebook.Sandbox, "page", lambda *given: page(*given[:2], given[2].replace("2 photos", "")))
            collect("facebook", originals, origin)
        with sqlite3.connect("data/ledger/ledger.db") as books:
            assert set(books.execute("SELECT state FROM uploads")) == {("unknown",)}
        assert collect("facebook", originals, origin).complete == 2
        assert set(received(origin).values()) == {1}


@pytest.mark.parametrize("come", ["late", "never"])
def test_a_list_of_facebook_albums_that_has_not_come_lacks_none(come, photos, workplace, monkeypatch) -> None:
    """The sandbox stands in for the live site: only that it is one is made up."""
    batch = Batch("comreadv x", [each.path for each in photos(2)])

    def without_albums(route: Route) -> None:
        answer = route.fetch()
        after = "setTimeout(() => { albums.innerHTML = rows }, 1000)" if come == "late" else ""
        script = f"const albums = document.querySelector('ul'), rows = albums.innerHTML; albums.innerHTML = ''; {after}"
        route.fulfill(response=answer, body=answer.text().replace("</ul>", f"</ul><script>{script}</script>"))

    with (
        sandbox.serve("facebook", state=workplace / "site") as origin,
        open_session(load_platform("facebook", SETTINGS.platform("facebook"), origin=origin)) as session,
        monkeypatch.context() as patched,
    ):
        session.upload(batch)
        session.page.route("**/photos_albums", without_albums)
        patched.setattr(Facebook, "is_live", property(lambda _self: True))
        patched.setattr("collect.platforms.facebook.LIST_TIMEOUT_MS", 3_000 if come == "late" else 200)
        patched.setattr("collect.platforms.facebook.MORE_TIMEOUT_MS", 100)
        patched.setattr("collect.retry.backoff_seconds", lambda *_, **__: 0.0)
        if come == "late":
            assert len(session.read_back(batch)) == 2
        else:
            for act in (lambda: session.read_back(batch), lambda: session.delete(["1"], batch.title)):
                with pytest.raises(TransientError, match="the list of albums did not come"):
                    act()


@pytest.mark.parametrize("says", [" · 3 photos", ""])
def test_a_facebook_album_that_may_hold_an_owners_photo_stays(says, photos, workplace, monkeypatch) -> None:
    monkeypatch.setattr(facebook, "PAGE", 2)
    monkeypatch.setattr("collect.retry.backoff_seconds", lambda *_, **__: 0.0)
    page = facebook.Sandbox.page
    with (
        sandbox.serve("facebook", state=workplace / "site") as origin,
        open_session(load_platform("facebook", SETTINGS.platform("facebook"), origin=origin)) as session,
    ):
        ours = session.upload(Batch("comreadv x", [each.path for each in photos(2)]))
        with sqlite3.connect(workplace / "site/sandbox.db") as site:
            site.execute("INSERT INTO photos (key, sha256) SELECT '77', sha256 FROM photos LIMIT 1")
            added = "INSERT INTO entries (album, photo, description) SELECT id, last_insert_rowid(), '' FROM albums"
            site.execute(f"{added} WHERE name = 'comreadv x'")
        session.page.route("**/media/set/more?*", lambda _route: None)  # it does not come
        with monkeypatch.context() as patched:
            patched.setattr(
                facebook.Sandbox, "page", lambda *given: page(*given[:2], given[2].replace(" · 3 photos", says))
            )
            with pytest.raises(UserError, match="shows 2 photos, and does not say that it has no more") as stays:
                session.delete(list(ours.values()), "comreadv x")
        assert isinstance(stays.value, TransientError) == bool(says)
        session.page.unroute_all()
        with pytest.raises(UserError, match="holds other photos too"):
            session.delete(list(ours.values()), "comreadv x")
        assert sum(received(origin).values()) == 3


def facebook_says(message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Facebook's sandbox give one reason for every refusal."""
    keep = facebook.Sandbox.take_upload

    def kept(self, form) -> Response:
        answer = keep(self, form)
        return JSONResponse({"error": 1, "msg": message}) if b'"error"' in answer.body else answer

    monkeypatch.setattr(facebook.Sandbox, "take_upload", kept)
    monkeypatch.setattr("collect.browser.navigation.PAGE_TIMEOUT_S", 1.0)
    monkeypatch.setattr("collect.round_trip.quarantine.MAX_TRIES", 2)
    monkeypatch.setattr("collect.round_trip.retry_policy.backoff_seconds", lambda *_, **__: 0.0)


def test_smaller_batches_tell_which_image_facebook_refuses(photos, workplace, monkeypatch) -> None:
    facebook_says("This can't be posted. Try again.", monkeypatch)
    originals = with_one_refused(photos(3), 1)
    with sandbox.serve("facebook", state=workplace / "site") as origin:
        outcome = collect("facebook", originals, origin)
        assert received(origin) == {each.sha256: 1 for each in originals if each is not originals[1]}
    assert (outcome.complete, outcome.rejected) == (2, 1)
    rows = Path("out", "facebook", "manifest.jsonl").read_text().splitlines()
    assert json.loads(rows[1]) == {"source": originals[1].name, "rejected": "This can't be posted. Try again."}


def test_an_image_is_not_rejected_when_nothing_goes_up_after_it(photos, workplace, monkeypatch, caplog) -> None:
    facebook_says("You can't post photos right now.", monkeypatch)
    originals = with_one_refused(photos(2), 1)
    with sandbox.serve("facebook", state=workplace / "site") as origin:
        outcome = collect("facebook", originals, origin)
    assert (outcome.complete, outcome.rejected) == (1, 0)
    said = caplog.text
    assert f"{originals[1].path} is left for the next run. facebook: the page stays at /media/set/create" in said
    assert "It says: You can't post photos right now." in said


def test_no_image_is_rejected_for_trouble_that_will_pass(photos, workplace, monkeypatch) -> None:
    facebook_says("000.png: something went wrong. Please try again.", monkeypatch)
    originals = with_one_refused(photos(1), 0)
    said = pytest.raises(UserError, match=r"stays at /media/set/create .* It says: 000.png: something went")
    with sandbox.serve("facebook", state=workplace / "site") as origin, said:
        collect("facebook", originals, origin)
    with sqlite3.connect("data/ledger/ledger.db") as books:
        assert books.execute("SELECT state FROM uploads WHERE platform = 'facebook'").fetchall() == [("planned",)]


@pytest.mark.parametrize(("says", "rejected"), [("图片违规", 1), ("操作太频繁, 请稍后再试", 0)])
def test_a_picture_whose_post_weibo_refuses_holds_up_no_other(says, rejected, photos, workplace, monkeypatch) -> None:
    originals, publish = photos(3), weibo.Sandbox.publish

    def publish_others(self: weibo.Sandbox, content: str, pic_id: str, visible: str) -> Response:
        pictures = [photo.sha256 for pid in json.loads(pic_id) if (photo := self.store.photo(pid))]
        if originals[1].sha256 in pictures:
            return JSONResponse({"ok": 0, "msg": says})
        return publish(self, content, pic_id, visible)

    monkeypatch.setattr("collect.round_trip.quarantine.MAX_TRIES", 2)
    monkeypatch.setattr("collect.round_trip.retry_policy.backoff_seconds", lambda *_, **__: 0.0)
    with sandbox.serve("weibo", state=workplace / "site") as origin:
        with monkeypatch.context() as patched:
            patched.setattr(weibo.Sandbox, "publish", publish_others)
            outcome = collect("weibo", originals, origin)
        assert (outcome.complete, outcome.rejected) == (2, rejected)
        assert received(origin) == {each.sha256: 1 for each in originals if each is not originals[1]}
        rows = Path("out", "weibo", "manifest.jsonl").read_text(encoding="utf-8").splitlines()
        told = [json.loads(row) for row in rows if "rejected" in row]
        assert told == [{"source": originals[1].name, "rejected": says}] * rejected
        assert collect("weibo", originals, origin).complete == 3 - rejected
        assert set(received(origin).values()) == {1}


@pytest.mark.parametrize(("status", "said"), [(418, "turns us away"), (503, "trouble of its own"), (403, "signed in")])
def test_an_upload_that_is_turned_away_rejects_no_image(status, said, photos, workplace) -> None:
    originals = photos(2)
    with sandbox.serve("weibo", state=workplace / "site") as origin:
        with open_session(load_platform("weibo", SETTINGS.platform("weibo"), origin=origin)) as session:
            refusal = {"status": status, "content_type": "text/html", "body": "<p>sandbox</p>"}
            session.page.route("**/interface/upload.php**", lambda route: route.fulfill(**refusal))
            with pytest.raises(UserError, match=said):
                session.upload(Batch("comreadv x", [each.path for each in originals]))
        assert received(origin) == {}


TO_ANOTHER_ORIGIN = """(() => {
  const open = XMLHttpRequest.prototype.open;
  XMLHttpRequest.prototype.open = function (method, path) {
    open.call(this, method, '%s' + path);
    this.withCredentials = true;
  };
})()"""


@pytest.mark.parametrize("fault", [None, "busy", "captcha", "cut"])
def test_an_upload_to_another_origin_is_known_to_be_turned_away(fault, photos, workplace, monkeypatch) -> None:
    """As weibo.com's page sends to picupload.weibo.com, whose refusals it may not read."""
    app, originals = Sandbox.app, photos(2)

    def readable(self) -> Starlette:
        made = app(self)
        allowed = {"allow_methods": ["POST"], "allow_headers": ["*"], "allow_credentials": True}
        made.add_middleware(CORSMiddleware, allow_origin_regex=".*", **allowed)
        return made

    monkeypatch.setattr(Sandbox, "app", readable)
    faults = {fault: 1.0} if fault else {}
    with (
        sandbox.serve("weibo", state=workplace / "site") as origin,
        sandbox.serve("weibo", state=workplace / "site", faults=faults) as elsewhere,
        open_session(load_platform("weibo", SETTINGS.platform("weibo"), origin=origin)) as session,
    ):
        monkeypatch.setattr("collect.browser.storage_state.save_state", lambda *_: None)
        monkeypatch.setattr(Weibo, "is_live", property(lambda _self: True))
        session.page.add_init_script(TO_ANOTHER_ORIGIN % elsewhere)
        batch = Batch("comreadv x", [each.path for each in originals])
        if fault is None:
            assert sorted(session.upload(batch)) == [0, 1]
            assert received(origin) == {each.sha256: 1 for each in originals}
            return
        with pytest.raises(TransientError) as told:
            session.upload(batch)
    assert isinstance(told.value, RateLimited) == (fault != "cut")
    assert told.value.retry_after_s == (1 if "HTTP 429" in told.value.message else None)


def test_a_lost_file_is_fetched_again_and_not_uploaded_again(photos, workplace) -> None:
    originals = photos(3)
    round_trip("jpeg-75", SETTINGS, originals, Path("out"), generation=1)
    shutil.rmtree(workplace / "data" / "ledger" / "files")
    outcome = round_trip("jpeg-75", SETTINGS, originals, Path("out"), generation=1)
    assert (outcome.uploaded, outcome.downloaded, outcome.complete) == (0, 3, 3)


def test_a_browser_that_does_not_start_is_a_user_error(photos, workplace, monkeypatch) -> None:
    monkeypatch.setenv("COMREADV_BROWSER", "/bin/false")
    with pytest.raises(UserError, match="/bin/false does not start"):
        round_trip("weibo", SETTINGS, photos(1), Path("out"), generation=1)


def test_a_redesigned_page_names_adapter_and_step_and_keeps_the_page(photos, workplace) -> None:
    with sandbox.serve("douban", state=workplace / "site") as origin:
        adapter = load_platform("douban", SETTINGS.platform("douban"), origin=origin)
        with open_session(adapter) as session:
            session.page.set_default_timeout(1_000)
            redesigned = {"content_type": "text/html", "body": "<h1>sandbox</h1><p>A new look!</p>"}
            session.page.route("**/photos/album/*/upload", lambda route: route.fulfill(**redesigned))
            with pytest.raises(UserError) as caught:
                session.upload(Batch("comreadv test", [each.path for each in photos(1)]))
    assert "collect/platforms/douban.py expects. Step: upload, line" in caught.value.message
    assert "set_input_files" in caught.value.message
    kept = sorted((workplace / "state" / "comreadv" / "failures").iterdir())
    assert [file.suffix for file in kept] == [".html", ".png"]
    assert "A new look!" in kept[0].read_text()
    assert {stat.S_IMODE(file.stat().st_mode) & 0o077 for file in kept[:1]} == {0}
    assert stat.S_IMODE(kept[0].parent.stat().st_mode) == 0o700


ANSWER_CHANGED = r"the site's answer is not as collect/platforms/weibo\.py expects: {}\. Step: .+, line \d+: .+\. "


@pytest.mark.parametrize(
    ("answers", "step", "error"),
    [
        ({"take_upload": {"ret": True, "picture": {}}}, "upload", "pic: Field required"),
        ({"take_upload": {"ret": True, "pic": ["pid"]}}, "upload", "pic: Input should be .+"),
        ({"image_wall": {"ok": 1, "data": {}}}, "read_back", "data.list: Field required"),
        ({"image_wall": {"ok": 1, "data": None}}, "read_back", "data: Input should be .+"),
    ],
)
def test_an_answer_of_another_form_names_adapter_and_line(answers, step, error, photos, workplace, monkeypatch) -> None:
    for name, answer in answers.items():
        monkeypatch.setattr(weibo.Sandbox, name, lambda *_, answer=answer: JSONResponse(answer))
    batch = Batch("comreadv x", [each.path for each in photos(1)], known={0: "1"})
    with sandbox.serve("weibo", state=workplace / "site") as origin:
        adapter = load_platform("weibo", SETTINGS.platform("weibo"), origin=origin)
        with open_session(adapter) as session, pytest.raises(PageChanged, match=ANSWER_CHANGED.format(error)):
            getattr(session, step)(batch)
    kept = (workplace / "state" / "comreadv" / "failures").iterdir()
    assert sorted(file.suffix for file in kept) == [".html", ".png"]


def test_an_error_of_our_own_is_not_taken_for_a_changed_answer(photos, workplace, monkeypatch) -> None:
    monkeypatch.setattr(Batch, "match_known", lambda _batch, _shown: {}["ours"])
    batch = Batch("comreadv x", [each.path for each in photos(1)], known={0: "1"})
    with sandbox.serve("weibo", state=workplace / "site") as origin:
        adapter = load_platform("weibo", SETTINGS.platform("weibo"), origin=origin)
        with open_session(adapter) as session, pytest.raises(KeyError, match="ours"):
            session.read_back(batch)


def test_an_origin_with_nothing_there_or_another_site_is_a_user_error(photos, workplace) -> None:
    with pytest.raises(UserError, match=r"weibo: no sign-in at http://127.0.0.1:9"):
        collect("weibo", photos(1), "http://127.0.0.1:9")
    with (
        sandbox.serve("douban", state=workplace / "site") as origin,
        pytest.raises(UserError, match="weibo: no sign-in"),
    ):
        collect("weibo", photos(1), origin)


def test_a_sandbox_run_cannot_reach_the_network(photos, workplace) -> None:
    with sandbox.serve("weibo", state=workplace / "site") as origin:
        adapter = load_platform("weibo", SETTINGS.platform("weibo"), origin=origin)
        port = origin.rpartition(":")[2]
        with open_session(adapter) as session, pytest.raises(Exception, match="ERR_NAME_NOT_RESOLVED"):
            session.page.goto(f"http://weibo.localhost:{port}/")  # Chromium knows that name without asking anybody


def test_live_without_a_sign_in_says_how_to_get_one(workplace) -> None:
    live = load_platform("weibo", PlatformRow(adapter="weibo", site="live"))
    with pytest.raises(UserError, match="comreadv login --platform weibo"), open_session(live):
        pass


def test_a_row_that_says_sandbox_never_goes_to_the_real_site(workplace) -> None:
    homeless = load_platform("weibo", PlatformRow(adapter="weibo", site="sandbox"))
    with pytest.raises(UserError, match="weibo has no sandbox"), open_session(homeless):
        pass
