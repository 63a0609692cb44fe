"""Wagtail, a site that we did not write: migrated, started, signed in to, uploaded to through its own pages, paired."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
import requests
from PIL import Image, JpegImagePlugin

import params
from collect.browser.session import open_session
from collect.ledger.ledger import Ledger
from collect.platform import Batch, load_platform
from collect.platforms.wagtail import PASSWORD_VARIABLE, USER_VARIABLE
from collect.round_trip import Original, Outcome, read_round_trips, round_trip
from pairing.build import build
from params import UserError

pytest.importorskip("wagtail", reason="the extra `wagtail` is not installed")
pytestmark = [pytest.mark.browser, pytest.mark.slow]
ROOT = Path(__file__).parents[3]
SETTINGS = params.load(ROOT / "params.yaml")

SITE = """
import sys
import django
from django.core.management import call_command
django.setup()
call_command("migrate", verbosity=0)
call_command("createsuperuser", interactive=False, username="editor", email="editor@example.org")
call_command("runserver", sys.argv[1], use_reloader=False, skip_checks=True)
"""  # one process, for each takes seconds to start


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Make a Wagtail with one account, and serve it; its address and its folder."""
    folder = tmp_path_factory.mktemp("wagtail")
    settings = {
        "DJANGO_SETTINGS_MODULE": "wagtail_site.settings",
        "DJANGO_SUPERUSER_PASSWORD": "a password",
        "PYTHONPATH": str(Path(__file__).parent),
        "WAGTAIL_SITE": str(folder),
    }
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-c", SITE, address], env=os.environ | settings, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_for(f"http://{address}/admin/login/", server, folder / "server.log")
        yield f"http://{address}", folder
    finally:
        server.terminate()
        server.wait()


def wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 120
    while True:
        try:
            requests.get(address, timeout=30).raise_for_status()
            return
        except requests.ConnectionError:
            assert server.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.1)


@pytest.fixture
def wagtail(site: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the site's address, with the account in the environment; its library is emptied after."""
    monkeypatch.setenv(USER_VARIABLE, "editor")
    monkeypatch.setenv(PASSWORD_VARIABLE, "a password")
    yield site[0]
    with sqlite3.connect(site[1] / "site.db", timeout=30) as database:
        database.execute("DELETE FROM wagtailimages_rendition")
        database.execute("DELETE FROM wagtailimages_image")


def titles(site: tuple[str, Path]) -> list[str]:
    """List the titles of the images in the site's own database, in the order of their arrival."""
    with sqlite3.connect(f"file:{site[1] / 'site.db'}?mode=ro", uri=True, timeout=30) as database:
        return [title for (title,) in database.execute("SELECT title FROM wagtailimages_image ORDER BY id")]


def file_hashes(site: tuple[str, Path]) -> set[str]:
    with sqlite3.connect(f"file:{site[1] / 'site.db'}?mode=ro", uri=True, timeout=30) as database:
        return {value for (value,) in database.execute("SELECT file_hash FROM wagtailimages_image")}


def collect(originals: list[Original], origin: str) -> Outcome:
    return round_trip("wagtail", SETTINGS, originals, Path("out"), generation=1, origin=origin)


def by_pillow(file: Path) -> BytesIO:
    """Encode an image as Wagtail says that it does: quality 76, progressive, optimised."""
    encoded = BytesIO()
    with Image.open(file) as image:
        image.save(encoded, "JPEG", quality=76, progressive=True, optimize=True)
    return encoded


def test_twenty_images_there_and_back_as_wagtails_pillow_writes_them(site, wagtail, photos, workplace) -> None:
    originals = photos(20)
    outcome = collect(originals, wagtail)
    again = collect(originals, wagtail)
    assert (outcome.uploaded, outcome.downloaded, outcome.complete, outcome.rejected) == (20, 20, 20, 0)
    assert (again.uploaded, again.downloaded, again.complete) == (0, 0, 20)
    assert len(titles(site)) == len(file_hashes(site)) == 20
    assert outcome.fingerprint["codec"] == json.loads((ROOT / "fingerprints" / "wagtail.json").read_text())["codec"]

    for row, each in zip(read_round_trips(workplace / "out"), originals, strict=True):
        assert row.source == each.name
        encoded = by_pillow(each.path)
        with Image.open(workplace / "out" / row.file) as served, Image.open(encoded) as own:
            assert isinstance(served, JpegImagePlugin.JpegImageFile)
            assert isinstance(own, JpegImagePlugin.JpegImageFile)
            assert served.quantization == own.quantization
            assert JpegImagePlugin.get_sampling(served) == JpegImagePlugin.get_sampling(own) == 2  # 4:2:0
            assert "progressive" in served.info and "progressive" in own.info
        assert (workplace / "out" / row.file).read_bytes() == encoded.getvalue()

    images = workplace / "images"
    images.mkdir()
    (images / "train").symlink_to(workplace / "photos")
    rows = [{"name": each.name, "split": "train", "source": "x", "label": None, "crop": None} for each in originals]
    lines = [json.dumps(row | {"sha256": each.sha256}) for row, each in zip(rows, originals, strict=True)]
    (images / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    assert build(images, workplace / "out", workplace / "pairs.db", SETTINGS.pairing) == {None: 20}


@pytest.mark.parametrize("cut", ["in the middle", "after"])
def test_a_cut_off_attempt_is_settled_by_the_library(cut, site, wagtail, photos, workplace, monkeypatch) -> None:
    originals = photos(9)  # more than a page of the library

    def lost(*_: object) -> None:
        raise ConnectionError("cut off")

    # in the middle: the first is in the library, and nobody has its number
    sent, method = {"in the middle": (1, "record_remote_ids"), "after": (9, "record_outcome")}[cut]
    with monkeypatch.context() as patched, pytest.raises(ConnectionError):
        patched.setattr(Ledger, method, lost)
        collect(originals, wagtail)
    before = titles(site)
    assert len(before) == sent
    assert collect(originals, wagtail).complete == 9
    assert titles(site)[:sent] == before
    assert len(titles(site)) == len(file_hashes(site)) == 9
    for row, each in zip(read_round_trips(workplace / "out"), originals, strict=True):
        assert (workplace / "out" / row.file).read_bytes() == by_pillow(each.path).getvalue()  # nothing is swapped


def test_delete_takes_its_batchs_images_and_no_others(site, wagtail, photos, workplace) -> None:
    files = [each.path for each in photos(4)]
    with open_session(load_platform("wagtail", SETTINGS.platform("wagtail"), origin=wagtail)) as session:
        first, second = Batch("comreadv first", files[:2]), Batch("comreadv second", files[2:])
        ids = [*session.upload(first).values(), *session.upload(second).values()]
        session.delete(ids, second.title)  # the first two have another title
        assert titles(site) == ["comreadv first 0", "comreadv first 1"]
        assert session.read_back(first) == {0: ids[0], 1: ids[1]}
        session.delete(ids, second.title)  # gone already
        session.delete(ids, first.title)
        assert titles(site) == []
        assert session.read_back(first) == {}


def test_a_refused_image_leaves_nothing_of_its_batch_and_the_rest_goes_up(site, wagtail, photos, workplace) -> None:
    originals = list(photos(4))
    originals[1].path.write_bytes(b"no image")
    originals[1] = Original.of(originals[1].path, originals[1].name)
    outcome = collect(originals, wagtail)
    assert (outcome.uploaded, outcome.complete, outcome.rejected) == (3, 3, 1)
    assert [title.rpartition(" ")[2] for title in titles(site)] == ["0", "1", "2"]
    refused = json.loads((workplace / "out" / "manifest.jsonl").read_text().splitlines()[1])
    assert "valid image" in refused["rejected"]


def test_a_library_that_cannot_be_read_is_no_empty_one(site, wagtail, photos, workplace) -> None:
    with open_session(load_platform("wagtail", SETTINGS.platform("wagtail"), origin=wagtail)) as session:
        session.page.set_default_timeout(1_000)
        batch = Batch("comreadv x", [photos(1)[0].path])
        assert session.read_back(batch) == {}
        broken = {"content_type": "text/html", "body": '<div id="listing-results"></div>'}
        session.page.route("**/admin/images/", lambda route: route.fulfill(**broken))
        with pytest.raises(UserError, match=r"not as collect/platforms/wagtail.py expects"):
            session.read_back(batch)
        session.page.unroute_all()
        session.page.context.clear_cookies()
        with pytest.raises(UserError, match="nobody is signed in"):
            session.read_back(batch)


def test_a_wrong_or_missing_account_is_a_user_error(site, wagtail, photos, workplace, monkeypatch) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "wrong")
    with pytest.raises(UserError, match="does not take the account"):
        collect(photos(1), wagtail)
    monkeypatch.delenv(PASSWORD_VARIABLE)
    with pytest.raises(UserError, match=f"set {USER_VARIABLE} and {PASSWORD_VARIABLE}"):
        collect(photos(1), wagtail)


def test_a_wagtail_without_an_address_is_a_user_error(photos, workplace) -> None:
    with pytest.raises(UserError, match="Say which with --origin"):
        round_trip("wagtail", SETTINGS, photos(1), Path("out"), generation=1, live=True)
