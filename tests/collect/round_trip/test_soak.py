"""Exactly once, whatever the site and the machine do: all faults at once, kills, two collectors, a full disk.

tests/benchmarks/test_collect_soak.py does the same with 300 images.
"""

import subprocess
from pathlib import Path

import pytest
import requests
from soak import FAULTS, Person, Verdict, command, judge, settle_in, soak

import params
from collect import sandbox
from collect.round_trip import round_trip
from params import UserError

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SETTINGS = params.load(Path(__file__).parents[3] / "params.yaml")


def is_exactly_once(verdict: Verdict, count: int) -> bool:
    return (verdict.verified, verdict.duplicates, verdict.wrong) == (count, 0, 0)


@pytest.mark.parametrize(("site", "count", "kills"), [("facebook", 6, 0), ("douban", 6, 0), ("weibo", 10, 1)])
def test_all_faults_at_once_and_kills(site, count, kills, photos, workplace) -> None:
    originals, ledger = photos(count), f"sqlite:///{workplace}/ledger.db"
    settle_in(workplace / "one", originals, ledger)
    with sandbox.serve(site, state=workplace / "site", faults=FAULTS, seed=1) as origin:
        soak([Person(workplace / "one", command(site, origin), count)], ledger, kills=kills, batch=6)
        verdict = judge(workplace / "one", site, origin, workplace / "site", ledger, originals)
    assert is_exactly_once(verdict, count)


def test_two_collectors_on_one_ledger_when_one_is_killed(ledger_url, photos, workplace) -> None:
    originals, folder = photos(10), workplace / "shared"
    settle_in(folder, originals, ledger_url)
    with sandbox.serve("weibo", state=workplace / "site", faults=FAULTS, seed=3) as origin:
        people = [Person(folder, command("weibo", origin), 10, name) for name in ("one", "other")]
        soak(people, ledger_url, kills=1, batch=6)
        verdict = judge(folder, "weibo", origin, workplace / "site", ledger_url, originals)
    assert is_exactly_once(verdict, 10)
    assert all(person.hands for person in people)


def test_two_collectors_that_share_the_ledger_alone_both_end_with_all_files(photos, workplace) -> None:
    originals, ledger, names = photos(12), f"sqlite:///{workplace}/ledger.db", ("one", "other")
    for name in names:
        settle_in(workplace / name, originals, ledger)
    with sandbox.serve("weibo", state=workplace / "site") as origin:
        people = [Person(workplace / name, command("weibo", origin), 12) for name in names]
        soak(people, ledger)
        verdicts = [judge(workplace / name, "weibo", origin, workplace / "site", ledger, originals) for name in names]
    assert all(is_exactly_once(verdict, 12) for verdict in verdicts)
    assert not any(person.stops.total() for person in people)


def test_a_full_disk_stops_a_run_and_loses_nothing(small_disk, photos, workplace) -> None:
    originals, told, size = photos(12), [], 64
    (workplace / "data").mkdir()
    (workplace / "data" / "ledger").symlink_to(small_disk)
    with sandbox.serve("weibo", state=workplace / "site") as origin:
        while True:
            remount = ["mount", "-o", f"remount,size={size}k", str(small_disk)]
            subprocess.run(remount, check=True)
            try:
                outcome = round_trip("weibo", SETTINGS, originals, Path("out"), generation=1, origin=origin)
                break
            except UserError as error:
                told.append(error.message)
                size *= 2
        assert outcome.complete == 12
        received = requests.get(f"{origin}/sandbox/received").json()["images"]
    assert [each["times"] for each in received] == [1] * 12
    assert told
    assert all("ledger" in each and "Make room" in each for each in told)
