"""300 images on each sandbox with all faults at 5 %: each there and back exactly once, also under kills and by two.

Ten minutes and more a case: select one by -k, such as -k "kills and weibo". Reads photos of ILSVRC-2012 from
COMREADV_ILSVRC, or where the developers have them; COMREADV_SOAK takes fewer of them.
"""

import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image
from soak import FAULTS, Person, command, judge, settle_in, soak

from collect import sandbox
from collect.round_trip import Original

sys.path.append(str(Path(__file__).parents[1] / "collect"))

PHOTOS = Path(os.environ.get("COMREADV_ILSVRC") or Path(__file__).parents[3] / "shared/ilsvrc-sample/val")
COUNT = int(os.environ.get("COMREADV_SOAK", "300"))
SITES = ["douban", "weibo", "facebook"]


@pytest.fixture
def originals(tmp_path: Path) -> Sequence[Original]:
    files = sorted(PHOTOS.glob("*/*.JPEG"))[:COUNT]
    if len(files) < COUNT:
        pytest.skip(f"{PHOTOS} holds too few photos; set COMREADV_ILSVRC")
    (tmp_path / "photos").mkdir()
    made = []
    for number, file in enumerate(files):
        with Image.open(file) as image:
            small = image.convert("RGB").resize((224, 224), Image.Resampling.LANCZOS)
        small.save(tmp_path / "photos" / f"{number:03}.png", compress_level=1)
        made.append(Original.of(tmp_path / "photos" / f"{number:03}.png", f"train/{number:03}.png"))
    return made


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("kills", [0, 10], ids=["plain", "kills"])
def test_one_collector(site, kills, originals, tmp_path, capsys) -> None:
    run_and_judge(site, ["one"], f"sqlite:///{tmp_path}/ledger.db", kills, originals, tmp_path, capsys)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("kills", [0, 10], ids=["plain", "kills"])
def test_two_collectors(site, kills, ledger_url, originals, tmp_path, capsys) -> None:
    run_and_judge(site, ["one", "other"], ledger_url, kills, originals, tmp_path, capsys)


def run_and_judge(
    site: str,
    names: Sequence[str],
    ledger: str,
    kills: int,
    originals: Sequence[Original],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in names:
        settle_in(folder / name, originals, ledger)
    with sandbox.serve(site, state=folder / "site", faults=FAULTS, seed=1) as origin:
        people = [Person(folder / name, command(site, origin), COUNT) for name in names]
        seconds = soak(people, ledger, kills=kills)
        verdicts = [judge(folder / name, site, origin, folder / "site", ledger, originals) for name in names]
    stops = sum((person.stops for person in people), Counter[str]())
    with capsys.disabled():
        print(f"\n{site}: {seconds:.0f} s, {verdicts[0]}, in hand {[len(person.hands) for person in people]}")
        for said, times in stops.most_common():
            print(f"  {times} x {said}")
    for verdict in verdicts:
        assert (verdict.verified, verdict.duplicates, verdict.wrong) == (COUNT, 0, 0)
    assert all(person.hands for person in people)
