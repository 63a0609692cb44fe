"""The contract: an adapter is found by its file, and points every address at the origin in use."""

import json
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from PIL import Image

import params
from collect import codecs
from collect.browser.storage_state import state_folder
from collect.platform import Batch, Platform, Site, load_platform
from collect.round_trip import read_round_trips, round_trip
from collect.round_trip.run import exclusive
from params import PlatformRow, UserError

ROOT = Path(__file__).parents[2]
SETTINGS = params.load(ROOT / "params.yaml")


@pytest.mark.parametrize("name", params.adapters())
def test_every_adapter_loads_and_says_what_the_contract_asks(name: str) -> None:
    adapter = load_platform(name, PlatformRow(adapter=name, codec="jpeg:75" if name == "codec" else None, album="1"))
    assert isinstance(adapter, Platform)
    assert adapter.name == name
    assert adapter.rendition == adapter.renditions[0]
    if isinstance(adapter, Site):
        assert adapter.root.startswith("https://")
        assert adapter.login_url.startswith("https://")
        assert adapter.referer.startswith("https://")
        assert adapter.cookie_names
        assert adapter.per_minute > 0
        assert adapter.per_day >= adapter.batch_size  # else a batch would wait for ever
        assert "image/" in adapter.accept


def test_of_an_album_no_more_is_read_than_it_takes_to_find_a_batch() -> None:
    album = iter(["9", "2", "1", "8"])
    assert Batch("x", [], known={0: "1", 1: "2"}).match_known(album) == {0: "1", 1: "2"}
    assert list(album) == ["8"]
    assert Batch("x", [], known={0: "1", 1: "2"}).match_known(iter(["9", "2"])) == {1: "2"}


def test_an_origin_takes_the_place_of_every_host_and_keeps_path_and_query() -> None:
    here = load_platform("weibo", SETTINGS.platform("weibo"), origin="http://127.0.0.1:8001")
    assert here.at("https://wx1.sinaimg.cn/large/1.jpg?a=b") == "http://127.0.0.1:8001/large/1.jpg?a=b"
    assert load_platform("weibo", SETTINGS.platform("weibo")).at("https://weibo.com/u/1") == "https://weibo.com/u/1"


def test_an_unknown_rendition_is_a_user_error_that_names_the_known_ones() -> None:
    with pytest.raises(UserError, match="there are large, mw2000"):
        load_platform("weibo", PlatformRow(adapter="weibo", rendition="huge"))


def test_the_codec_platform_needs_no_browser_and_gives_the_encoders_own_bytes(photos, workplace) -> None:
    originals = photos(5)
    outcome = round_trip("webp-50", SETTINGS, originals, Path("out"), generation=1)
    assert (outcome.uploaded, outcome.complete) == (5, 5)
    for row, each in zip(read_round_trips(Path("out")), originals, strict=True):
        with Image.open(each.path) as image:
            assert Path("out", row.file).read_bytes() == codecs.encode(image, "webp:50")
    before = Path("out/manifest.jsonl").read_bytes()
    assert round_trip("webp-50", SETTINGS, originals, Path("out"), generation=1).uploaded == 0
    assert Path("out/manifest.jsonl").read_bytes() == before
    assert round_trip("webp-50", SETTINGS, originals, Path("out"), generation=2).uploaded == 5


def test_the_manifest_is_sorted_and_leaves_out_what_the_limit_left(photos, workplace) -> None:
    round_trip("jpeg-75", SETTINGS, photos(6)[::-1], Path("out"), generation=1, limit=4)
    names = [json.loads(line)["source"] for line in Path("out/manifest.jsonl").read_text().splitlines()]
    assert names == sorted(names)
    assert len(names) == 4


def test_what_is_exported_by_one_is_not_written_by_another_at_the_same_time(photos, workplace: Path) -> None:
    originals = photos(3)
    round_trip("jpeg-75", SETTINGS, originals, Path("out"), generation=1)
    with ThreadPoolExecutor(1) as pool:
        with exclusive(Path("out")):
            before = Path("out").stat().st_ino
            second = pool.submit(round_trip, "jpeg-75", SETTINGS, originals, Path("out"), generation=1)
            assert wait([second], timeout=1).not_done
            assert Path("out").stat().st_ino == before
        assert second.result(timeout=30).complete == 3
    assert Path("out").stat().st_ino != before


def test_two_runs_at_once_on_one_ledger_send_each_image_once(photos, workplace: Path) -> None:
    originals = photos(30)
    with ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(round_trip, "webp-50", SETTINGS, originals, Path(out), generation=1) for out in ("one", "two")
        ]
        outcomes = [each.result(timeout=60) for each in runs]
    assert sum(each.uploaded for each in outcomes) == 30
    assert [each.complete for each in outcomes] == [30, 30]
    assert Path("one/manifest.jsonl").read_bytes() == Path("two/manifest.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("site", "origin", "live"),
    [
        ("sandbox", None, False),
        ("live", None, True),
        ("live", "http://127.0.0.1:8001", False),
        ("sandbox", "http://[::1]:8001", False),
        ("sandbox", "https://weibo.example", True),
        ("sandbox", "http://127.0.0.1.example", True),
    ],
)
def test_only_what_is_on_this_computer_is_not_live(site: str, origin: str | None, live: bool) -> None:
    assert load_platform("weibo", PlatformRow(adapter="weibo", site=site), origin=origin).is_live is live


def test_an_origin_without_a_scheme_is_a_user_error() -> None:
    with pytest.raises(UserError, match="full address"):
        load_platform("weibo", PlatformRow(adapter="weibo"), origin="127.0.0.1:8001")


def test_a_folder_of_secrets_that_others_can_read_is_refused(workplace) -> None:
    folder = state_folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    with pytest.raises(UserError, match="chmod 700"):
        state_folder()
    folder.chmod(0o700)
    folder.rename(workplace / "elsewhere")
    folder.symlink_to(workplace / "elsewhere")
    with pytest.raises(UserError, match="no link"):
        state_folder()
