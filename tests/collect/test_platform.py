"""The contract: an adapter is found by its file, and points every address at the origin in use."""

import json
from pathlib import Path

import pytest
from PIL import Image

import params
from collect import codecs
from collect.export import read_manifest
from collect.login import state_folder
from collect.platform import Platform, Site, load
from collect.round_trip import round_trip
from params import PlatformRow, UserError

ROOT = Path(__file__).parents[2]
SETTINGS = params.load(ROOT / "params.yaml")


@pytest.mark.parametrize("name", params.adapters())
def test_every_adapter_loads_and_says_what_the_contract_asks(name: str) -> None:
    adapter = load(name, PlatformRow(adapter=name, codec="jpeg:75" if name == "codec" else None, album="1"))
    assert isinstance(adapter, Platform)
    assert adapter.name == name
    assert adapter.rendition == adapter.renditions[0]
    if isinstance(adapter, Site):
        assert adapter.root.startswith("https://")
        assert adapter.login_url.startswith("https://")
        assert adapter.referer.startswith("https://")
        assert adapter.cookie_names
        assert adapter.interval > 0


def test_an_origin_takes_the_place_of_every_host_and_keeps_path_and_query() -> None:
    here = load("weibo", SETTINGS.platform("weibo"), origin="http://127.0.0.1:8001")
    assert here.at("https://wx1.sinaimg.cn/large/1.jpg?a=b") == "http://127.0.0.1:8001/large/1.jpg?a=b"
    assert load("weibo", SETTINGS.platform("weibo")).at("https://weibo.com/u/1") == "https://weibo.com/u/1"


def test_an_unknown_rendition_is_a_user_error_that_names_the_known_ones() -> None:
    with pytest.raises(UserError, match="there are large, mw2000"):
        load("weibo", PlatformRow(adapter="weibo", rendition="huge"))


def test_the_codec_platform_needs_no_browser_and_gives_the_encoders_own_bytes(photos, workplace) -> None:
    originals = photos(5)
    outcome = round_trip("webp-50", SETTINGS, originals, Path("out"), generation=1)
    assert (outcome.uploaded, outcome.complete) == (5, 5)
    for row, each in zip(read_manifest(Path("out")), originals, strict=True):
        with Image.open(each.path) as image:
            assert Path("out", row["file"]).read_bytes() == codecs.encode(image, "webp:50")
    before = Path("out/manifest.jsonl").read_bytes()
    assert round_trip("webp-50", SETTINGS, originals, Path("out"), generation=1).uploaded == 0
    assert Path("out/manifest.jsonl").read_bytes() == before
    assert round_trip("webp-50", SETTINGS, originals, Path("out"), generation=2).uploaded == 5


def test_the_manifest_is_sorted_and_leaves_out_what_the_limit_left(photos, workplace) -> None:
    round_trip("jpeg-75", SETTINGS, photos(6)[::-1], Path("out"), generation=1, limit=4)
    names = [json.loads(line)["source"] for line in Path("out/manifest.jsonl").read_text().splitlines()]
    assert names == sorted(names)
    assert len(names) == 4


def test_one_collector_at_a_time(photos, workplace) -> None:
    from collect.round_trip import alone

    with alone("jpeg-75"), pytest.raises(UserError, match="by another process"):
        round_trip("jpeg-75", SETTINGS, photos(1), Path("out"), generation=1)


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
