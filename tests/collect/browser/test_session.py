"""A session: when a browser's context gives way to a new one, and what it asks for as the browser does."""

import traceback
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from playwright.sync_api import Page

import params
from collect import sandbox
from collect.browser import storage_state
from collect.browser.session import BrowserSession, open_session
from collect.errors import PageChanged, RateLimited, TransientError
from collect.ledger.workers import Heartbeat
from collect.platform import Batch, Platform, load_platform
from collect.platforms.codec import LocalSession
from collect.platforms.weibo import Weibo
from collect.round_trip import round_trip

SETTINGS = params.load(Path(__file__).parents[3] / "params.yaml")
NOTHING = Batch("nothing", [])


@pytest.fixture
def session(workplace) -> Iterator[BrowserSession]:
    with sandbox.serve("weibo", state=workplace / "site") as origin:
        site = load_platform("weibo", SETTINGS.platform("weibo"), origin=origin)
        with open_session(site) as session:
            yield session


@pytest.mark.browser
def test_a_context_is_retired_after_so_many_steps(session, monkeypatch) -> None:
    monkeypatch.setattr("collect.browser.session_health.MAX_STEPS", 3)
    contexts = []
    for _ in range(7):
        session.read_back(NOTHING)
        contexts.append(session.context)
    assert [contexts.index(each) for each in contexts] == [0, 0, 0, 3, 3, 3, 6]
    assert session.browser.contexts == [session.context]


@pytest.mark.browser
def test_a_context_that_meets_trouble_again_and_again_is_retired(session, monkeypatch) -> None:
    def trouble(*_: object) -> None:
        raise TransientError("trouble")

    first, read_back = session.context, Weibo.read_back
    for step in (trouble, trouble, read_back, trouble):  # each step without one counts half a trouble off
        monkeypatch.setattr(Weibo, "read_back", step)
        with pytest.raises(TransientError) if step is trouble else nullcontext():
            session.read_back(NOTHING)
        assert session.context is first
    with pytest.raises(TransientError):
        session.read_back(NOTHING)
    assert session.context is first
    with pytest.raises(TransientError):
        session.read_back(NOTHING)
    assert session.context is not first and session.account == session.platform.account(session.page)


@pytest.mark.browser
def test_files_are_asked_for_as_the_browser_asks_for_images_it_can_decode(session) -> None:
    with session.page.expect_request("**/large/1.jpg") as asked:
        session.page.evaluate("() => { new Image().src = '/large/1.jpg'; }")
    own = asked.value.all_headers()
    assert session.downloader.session.headers["Accept"] == own["accept"].replace("image/jxl,", "")
    assert session.downloader.session.headers["User-Agent"] == own["user-agent"]


@pytest.mark.browser
def test_a_full_disk_hides_no_failure_tells_no_secret_and_leaves_the_sign_in(
    workplace, small_disk, monkeypatch
) -> None:
    def read_back(_: Weibo, page: Page, _batch: Batch) -> None:
        page.goto("http://127.0.0.1:9/?ticket=s3cret")

    monkeypatch.setenv("XDG_STATE_HOME", str(small_disk))
    monkeypatch.setattr(Weibo, "read_back", read_back)
    with sandbox.serve("weibo", state=workplace / "site") as origin:
        site = load_platform("weibo", SETTINGS.platform("weibo"), origin=origin)
        with open_session(site) as session:
            storage_state.save_state(site, session.context.storage_state())
        monkeypatch.setattr(Platform, "is_live", True)
        stored = storage_state.stored_state(site).read_bytes()
        with pytest.raises(OSError, match="No space"), (small_disk / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        with open_session(site) as session:
            with pytest.raises(PageChanged, match=r"could not be kept: .*No space.* Make room") as caught:
                session.read_back(NOTHING)
            assert "s3cret" not in "".join(traceback.format_exception(caught.value))
        assert storage_state.stored_state(site).read_bytes() == stored
    assert not list(small_disk.rglob("*.part"))


def test_a_run_ends_when_a_site_has_turned_it_away_for_a_day(photos, workplace, monkeypatch) -> None:
    def upload(*_: object) -> None:
        raise RateLimited("The site turns us away.")

    waits: list[float] = []
    monkeypatch.setattr(LocalSession, "upload", upload)
    monkeypatch.setattr(LocalSession, "read_back", lambda *_: {})
    monkeypatch.setattr(Heartbeat, "rest", lambda _, seconds: waits.append(seconds))
    with pytest.raises(RateLimited):
        round_trip("jpeg-75", SETTINGS, photos(1), workplace / "out", generation=1)
    assert len(waits) == 35
