"""The ledger knows every attempt before it is made, settles those that were cut off, and gives no image twice."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, delete, event, insert, text, update
from sqlalchemy.exc import IntegrityError

from collect.errors import TransientError
from collect.ledger.ledger import Arrival, Ledger
from collect.ledger.models import NO_LONGER_SHOWN, Collector, Download, Tile, Upload
from collect.ledger.mosaics import pack_mosaic, unpack_mosaic
from collect.ledger.transactions import open_ledger
from collect.ledger.workers import register_worker
from params import UserError

KEY: dict[str, Any] = {"platform": "weibo", "site": "sandbox", "account": "7", "generation": 1}
OTHERS = [{"account": "8"}, {"generation": 2}, {"platform": "douban"}, {"site": "live"}]
TILE = {"mosaic": "m", "x": 0, "y": 0, "width": 16, "height": 16}
ANY_FILE = Path(__file__)  # as served
DEADLINE = 60  # seconds for what runs at once


@pytest.fixture
def engine(ledger_url: str) -> Iterator[Engine]:
    with open_ledger(ledger_url) as opened:
        yield opened


@pytest.fixture
def ledger(engine: Engine) -> Iterator[Ledger]:
    with register_worker(engine) as heartbeat:
        yield Ledger(engine, **KEY, collector=heartbeat.id)


@pytest.fixture
def other(engine: Engine) -> Iterator[Ledger]:
    """The same ledger as another living collector sees it."""
    with register_worker(engine) as heartbeat:
        yield Ledger(engine, **KEY, collector=heartbeat.id)


def die(ledger: Ledger) -> None:
    with ledger.engine.begin() as connection:
        connection.execute(delete(Collector).filter_by(id=ledger.collector))


def names(uploads: Sequence[Upload]) -> list[str]:
    return [each.sha256 for each in uploads]


def confirmed(ledger: Ledger, *images: str) -> list[Upload]:
    """Take images up, their remote ids being their names in capitals."""
    ledger.plan(images)
    ledger.record_outcome(ledger.claim_uploads(images), dict(enumerate(each.upper() for each in images)))
    return ledger.uploads("confirmed")


def at_once(url: str, count: int, work: Callable[[Ledger, int], Any]) -> list[Any]:
    """Do some work as so many collectors at once, each with connections of its own; none ends before all are done."""
    together = threading.Barrier(count)

    def one(number: int) -> Any:
        with open_ledger(url) as engine, register_worker(engine) as heartbeat:
            together.wait(DEADLINE)
            done = work(Ledger(engine, **KEY, collector=heartbeat.id), number)
            together.wait(DEADLINE)
            return done

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count), timeout=DEADLINE))


def test_an_image_is_planned_once_for_an_account_and_a_generation(ledger: Ledger) -> None:
    ledger.plan(["b", "a", "b"])
    ledger.plan(["a", "c"])
    assert ledger.planned() == ["b", "a", "c"]
    for key in OTHERS:
        elsewhere = Ledger(ledger.engine, **KEY | key, collector="me")
        elsewhere.plan(["a"])
        assert elsewhere.planned() == ["a"]
        assert names(elsewhere.claim_uploads(["a", "b", "c"])) == ["a"]
    assert ledger.planned() == ["b", "a", "c"]


def test_what_went_up_is_not_planned_again(ledger: Ledger) -> None:
    up = confirmed(ledger, "a", "b")
    ledger.record_downloads("large", [Arrival(up[0], "address", ANY_FILE)])
    ledger.record_deletions([up[0]])
    ledger.plan(["a", "b", "c"])
    assert ledger.planned() == ["c"]


def test_several_plan_at_once_in_any_order(ledger_url: str) -> None:
    images = [f"{number:03}" for number in range(300)]

    def plan(ledger: Ledger, number: int) -> None:
        ledger.plan(images[::-1] if number % 2 else images)
        pack_mosaic(ledger, [TILE | {"sha256": each} for each in (images[:99:-1] if number % 2 else images[100:])])

    at_once(ledger_url, 4, plan)
    with open_ledger(ledger_url) as engine:
        ledger = Ledger(engine, **KEY, collector="me")
        ledger.plan(images)
        assert sorted(ledger.planned()) == images[:100]
        assert sorted(ledger.tiles()) == images[100:]  # and no image goes up both alone and in a mosaic


def test_an_attempt_is_on_disk_before_it_is_made(ledger: Ledger, ledger_url: str) -> None:
    ledger.plan(["a", "b", "c"])
    claimed = ledger.claim_uploads(["c", "a"])
    assert names(claimed) == ["a", "c"]
    program = (  # another process, as the next run would be after a power cut
        "import sys; from collect.ledger.transactions import open_ledger; from sqlalchemy import text\n"
        "with open_ledger(sys.argv[1]) as engine, engine.connect() as connection:\n"
        "  print(*connection.execute(text('SELECT sha256, position, batch, collector, sent_at FROM uploads'\n"
        "    \" WHERE state = 'sent' ORDER BY id\")))"
    )
    seen = subprocess.run([sys.executable, "-c", program, ledger_url], capture_output=True, text=True, check=True)
    batch = claimed[0].batch
    assert batch
    rows = [(each.sha256, at, batch, ledger.collector, each.sent_at) for at, each in enumerate(claimed)]
    assert seen.stdout.strip() == " ".join(map(str, rows))


def test_each_batch_has_a_title_of_its_own(ledger: Ledger) -> None:
    ledger.plan(["a", "b"])
    assert ledger.claim_uploads(["a"])[0].batch != ledger.claim_uploads(["b"])[0].batch


def test_what_is_claimed_is_not_claimed_again(ledger: Ledger, other: Ledger) -> None:
    ledger.plan(["a", "b", "c"])
    ledger.claim_uploads(["a", "b"])
    assert [(each.sha256, each.position) for each in other.claim_uploads(["a", "b", "c"])] == [("c", 0)]
    assert ledger.claim_uploads(["a", "b", "c"]) == []


def test_many_collectors_never_claim_the_same_image(ledger_url: str) -> None:
    images = [f"{number:03}" for number in range(200)]
    with open_ledger(ledger_url) as engine:
        Ledger(engine, **KEY, collector="me").plan(images)

    see, go = threading.Barrier(6), threading.Barrier(6)

    def collect(ledger: Ledger, number: int) -> list[tuple[str, str | None, int | None]]:
        mine = []
        while True:
            see.wait(DEADLINE)
            left = ledger.planned()
            if not left:
                return mine
            go.wait(DEADLINE)
            for each in ledger.claim_uploads(left[:9]):  # all want the same ones
                mine.append((each.sha256, each.batch, each.position))

    shares = at_once(ledger_url, 6, collect)
    assert sorted(sha256 for share in shares for sha256, _, _ in share) == images
    with open_ledger(ledger_url) as engine:
        rows = Ledger(engine, **KEY, collector="me").uploads("sent")
    assert {(each.sha256, each.batch, each.position) for each in rows} == {each for share in shares for each in share}
    assert len({(each.batch, each.position) for each in rows}) == 200


def test_collectors_that_work_all_at_once_neither_stall_nor_share(ledger_url: str) -> None:
    images = [f"{number:03}" for number in range(60)]

    def collect(ledger: Ledger, number: int) -> list[str]:
        mine = []
        ledger.plan(images[::-1] if number % 2 else images)
        while left := ledger.planned():
            claimed = ledger.claim_uploads(left[:5])
            assert ledger.claim_unknown().keys() == {each.batch for each in claimed}
            ledger.record_outcome(claimed, dict(enumerate(names(claimed))))
            taken = ledger.claim_downloads("large", images)
            ledger.reassign_remote_ids(taken[::-1], names(taken)[::-1])
            ledger.record_downloads("large", [Arrival(each, "address", ANY_FILE) for each in taken[::-1]])
            mine += names(taken)
            ledger.busy_elsewhere(images)
        ledger.release_all()
        return mine

    assert sorted(each for share in at_once(ledger_url, 4, collect) for each in share) == images
    with open_ledger(ledger_url) as engine:
        assert sorted(Ledger(engine, **KEY, collector="me").downloads("large")) == images


def test_a_dead_ones_attempts_are_taken_over_by_one_alone(ledger_url: str) -> None:
    images = [f"{number:03}" for number in range(50)]
    with open_ledger(ledger_url) as engine:
        dead = Ledger(engine, **KEY, collector="dead")
        dead.plan(images)
        for start in range(0, 50, 10):
            dead.claim_uploads(images[start : start + 10])
    shares = at_once(ledger_url, 4, lambda ledger, _: [*chain.from_iterable(ledger.claim_unknown().values())])
    assert sorted(each.sha256 for share in shares for each in share) == images


def test_doubt_is_settled_by_what_the_platform_shows(ledger: Ledger) -> None:
    ledger.plan(["a", "b", "c"])
    claimed = ledger.claim_uploads(["a", "b", "c"])
    ledger.record_remote_ids(claimed, {1: "remote-b"})
    assert claimed[1].remote_id == "remote-b"
    doubtful = ledger.claim_unknown()
    assert list(doubtful) == [claimed[0].batch]
    batch = next(iter(doubtful.values()))
    assert [(each.sha256, each.state, each.remote_id) for each in batch] == [
        ("a", "unknown", None),
        ("b", "unknown", "remote-b"),
        ("c", "unknown", None),
    ]
    assert names(ledger.uploads("unknown")) == ["a", "b", "c"]
    ledger.record_outcome(batch, {1: "remote-b"})
    assert [(each.sha256, each.remote_id) for each in ledger.uploads("confirmed")] == [("b", "remote-b")]
    assert ledger.uploads("confirmed")[0].confirmed_at
    assert [(each.sha256, each.remote_id, each.batch, each.position) for each in ledger.uploads("planned")] == [
        ("a", None, None, None),
        ("c", None, None, None),
    ]
    assert ledger.claim_unknown() == {}
    assert names(ledger.claim_uploads(["a", "b", "c"])) == ["a", "c"]


def test_a_collector_that_was_taken_for_dead_publishes_nothing_more(ledger: Ledger, other: Ledger) -> None:
    ledger.plan(["a"])
    claimed = ledger.claim_uploads(["a"])
    die(ledger)
    ((taken,),) = other.claim_unknown().values()
    other.record_outcome([taken], {})
    (theirs,) = other.claim_uploads(["a"])
    with pytest.raises(TransientError, match="taking it for dead"):
        ledger.record_remote_ids(claimed, {0: "remote-a"})
    assert [(each.id, each.remote_id) for each in ledger.uploads("sent")] == [(theirs.id, None)]


def test_what_is_left_to_the_others_is_theirs_to_take(ledger: Ledger, other: Ledger) -> None:
    first, _second = confirmed(ledger, "a", "b")
    assert names(ledger.claim_downloads("large", {"a", "b"})) == ["a", "b"]
    ledger.release([first])
    assert names(other.claim_downloads("large", {"a", "b"})) == ["a"]
    ledger.plan(["c"])
    doubtful = ledger.claim_uploads(["c"])
    ledger.release(doubtful)
    assert [names(batch) for batch in other.claim_unknown().values()] == [["c"]]


def test_only_ours_and_the_deads_attempts_are_in_doubt(ledger: Ledger, other: Ledger) -> None:
    ledger.plan(["a", "b", "c"])
    ledger.claim_uploads(["a"])
    theirs = other.claim_uploads(["b", "c"])
    assert [names(batch) for batch in ledger.claim_unknown().values()] == [["a"]]
    assert names(ledger.uploads("sent")) == ["b", "c"]
    die(other)
    batches = ledger.claim_unknown()
    assert {title: names(batch) for title, batch in batches.items() if title == theirs[0].batch} == {
        theirs[0].batch: ["b", "c"]
    }
    assert [(each.sha256, each.collector) for each in ledger.uploads("unknown")] == [
        (each, ledger.collector) for each in ("a", "b", "c")
    ]


def test_what_a_killed_process_had_in_hand_is_taken_over_at_once(ledger: Ledger, ledger_url: str) -> None:
    ledger.plan(["a", "b", "c"])
    program = (
        "import sys, time; from collect.ledger.transactions import open_ledger; from collect.ledger import Ledger\n"
        "from collect.ledger.workers import register_worker\n"
        "with open_ledger(sys.argv[1]) as engine, register_worker(engine) as heartbeat:\n"
        f"  ledger = Ledger(engine, **{KEY}, collector=heartbeat.id)\n"
        "  ledger.record_outcome(ledger.claim_uploads(['a']), {0: 'A'})\n"
        "  ledger.claim_downloads('large', {'a'})\n"
        "  ledger.claim_uploads(['b'])\n"
        "  print('claimed', flush=True)\n"
        "  time.sleep(600)"
    )
    killed = subprocess.Popen([sys.executable, "-c", program, ledger_url], stdout=subprocess.PIPE, text=True)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "claimed\n"
    assert ledger.claim_unknown() == {}
    assert ledger.claim_downloads("large", {"a", "b", "c"}) == []
    assert ledger.busy_elsewhere({"a"})
    assert ledger.busy_elsewhere({"b"})
    assert not ledger.busy_elsewhere({"c"})
    os.kill(killed.pid, signal.SIGKILL)
    os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)  # dead, and nobody has buried it
    try:
        assert not ledger.busy_elsewhere({"a", "b"})
        assert [names(batch) for batch in ledger.claim_unknown().values()] == [["b"]]
        assert names(ledger.claim_downloads("large", {"a", "b", "c"})) == ["a"]
    finally:
        killed.wait()
        killed.stdout.close()


def test_a_refusal_keeps_its_reason_and_frees_the_rest_of_the_batch(ledger: Ledger, other: Ledger) -> None:
    ledger.plan(["a", "b", "c"])
    claimed = ledger.claim_uploads(["a", "b", "c"])
    ledger.record_remote_ids(claimed, {0: "remote-a"})
    ledger.record_outcome(claimed, {}, refused={1: "too dull"})
    assert ledger.rejections() == {"b": "too dull"}
    assert ledger.planned() == ["a", "c"]
    assert ledger.claim_unknown() == {}
    assert names(other.claim_uploads(["a", "b", "c"])) == ["a", "c"]


def test_each_rendition_is_downloaded_until_it_is_verified(ledger: Ledger, tmp_path: Path) -> None:
    up = confirmed(ledger, "a", "b")
    address = "https://wx1.sinaimg.cn/large/1.jpg"
    (tmp_path / "x").write_bytes(b"bytes")
    arrivals = [
        Arrival(up[0], address, tmp_path / "x"),
        Arrival(up[1], address, ANY_FILE, "the site serves another picture"),
    ]
    ledger.record_downloads("large", arrivals)
    assert names(ledger.uploads("verified")) == ["a"]
    assert [(each.sha256, each.reason) for each in ledger.uploads("downloaded")] == [
        ("b", "the site serves another picture")
    ]
    assert names(ledger.claim_downloads("large", {"a", "b"})) == ["b"]
    assert names(ledger.claim_downloads("thumb150", {"a", "b"})) == ["a", "b"]
    assert list(ledger.downloads("large")) == ["a"]
    assert ledger.downloads("thumb150") == {}
    kept = ledger.downloads("large")["a"]
    assert (kept.address, kept.sha256, kept.bytes, kept.upload.remote_id) == (address, "x", 5, "A")
    ledger.record_downloads("large", [Arrival(up[1], address, tmp_path / "x")])
    assert ledger.downloads("large")["b"].sha256 == "x"
    assert [each.reason for each in ledger.uploads("verified")] == [None, None]
    assert ledger.claim_downloads("large", {"a", "b"}) == []


def test_only_what_is_asked_for_is_waiting(ledger: Ledger) -> None:
    confirmed(ledger, "a", "b")
    ledger.plan(["c"])
    assert names(ledger.claim_downloads("large", {"b", "c"})) == ["b"]
    assert [each.collector for each in ledger.uploads("confirmed")] == [ledger.collector] * 2


def test_what_a_living_collector_has_in_hand_is_not_waiting_for_another(ledger: Ledger, other: Ledger) -> None:
    confirmed(ledger, "a", "b")
    assert other.claim_downloads("large", {"a", "b"}) == []
    assert other.busy_elsewhere({"a", "b"})
    assert not ledger.busy_elsewhere({"a", "b"})
    ledger.release_all()
    assert not other.busy_elsewhere({"a", "b"})
    assert names(other.claim_downloads("large", {"a"})) == ["a"]
    assert names(ledger.claim_downloads("large", {"a", "b"})) == ["b"]
    die(other)
    assert names(ledger.claim_downloads("large", {"a", "b"})) == ["a", "b"]


def test_what_is_done_or_nobodys_is_not_waited_for(ledger: Ledger, other: Ledger) -> None:
    ledger.record_downloads("large", [Arrival(confirmed(ledger, "a")[0], "address", ANY_FILE)])
    ledger.plan(["b", "c", "d"])
    ledger.record_outcome(ledger.claim_uploads(["b"]), {}, refused={0: "too dull"})
    assert not other.busy_elsewhere({"a", "b", "c", "d"})
    sent = ledger.claim_uploads(["c"])
    assert other.busy_elsewhere({"a", "b", "c", "d"})
    assert not other.busy_elsewhere({"a", "b", "d"})
    ledger.record_outcome(sent, {})
    assert not other.busy_elsewhere({"a", "b", "c", "d"})


def test_release_leaves_what_is_on_its_way_up(ledger: Ledger, other: Ledger) -> None:
    confirmed(ledger, "a")
    ledger.plan(["b"])
    ledger.claim_uploads(["b"])
    ledger.release_all()
    assert names(other.claim_downloads("large", {"a", "b"})) == ["a"]
    assert other.claim_unknown() == {}
    ledger.release_all()
    assert ledger.claim_downloads("large", {"a"}) == []  # not what is the other's by now


def test_remote_ids_change_hands_once_the_contents_have_told(ledger: Ledger) -> None:
    up = confirmed(ledger, "a", "b", "c")
    ledger.reassign_remote_ids([up[2], up[0], up[1]], ["A", "B", "C"])
    assert [(each.sha256, each.remote_id) for each in ledger.uploads("confirmed")] == [
        ("a", "B"),
        ("b", "C"),
        ("c", "A"),
    ]
    assert [each.remote_id for each in up] == ["B", "C", "A"]


def test_a_download_whose_file_is_gone_is_fetched_again(ledger: Ledger) -> None:
    up = confirmed(ledger, "a", "b")
    for each in up:
        ledger.record_downloads("large", [Arrival(each, "address", ANY_FILE)])
    ledger.discard_download(ledger.downloads("large")["a"])
    assert names(ledger.uploads("confirmed")) == ["a"]
    assert list(ledger.downloads("large")) == ["b"]
    assert names(ledger.claim_downloads("large", {"a", "b"})) == ["a"]
    assert ledger.uploads("confirmed")[0].remote_id == "A"


def test_a_further_rendition_changes_nothing_of_how_an_upload_stands(ledger: Ledger) -> None:
    good, bad = confirmed(ledger, "a", "b")
    wrong = "the site serves another picture"
    ledger.record_downloads("large", [Arrival(good, "address", ANY_FILE), Arrival(bad, "address", ANY_FILE, wrong)])
    ledger.record_downloads(
        "m", [Arrival(good, "address", ANY_FILE, wrong), Arrival(bad, "address", ANY_FILE)], main=False
    )
    assert (names(ledger.uploads("verified")), ledger.missing()) == (["a"], {"b": wrong})
    assert (list(ledger.downloads("large")), list(ledger.downloads("m"))) == (["a"], ["b"])
    ledger.discard_download(ledger.downloads("m")["b"], main=False)
    assert (names(ledger.uploads("downloaded")), ledger.downloads("m")) == (["b"], {})


def test_what_is_deleted_keeps_its_download_and_is_not_fetched(ledger: Ledger) -> None:
    up = confirmed(ledger, "a", "b", "c")
    ledger.record_downloads("large", [Arrival(up[0], "address", ANY_FILE)])
    ledger.record_deletions(up[:2])
    assert ledger.uploads("verified") == []
    assert names(ledger.uploads("confirmed")) == ["c"]
    assert list(ledger.downloads("large")) == ["a"]
    assert names(ledger.claim_downloads("large", {"a", "b", "c"})) == ["c"]
    assert names(ledger.claim_downloads("thumb150", {"a", "b", "c"})) == ["c"]


def test_what_was_gone_is_deleted_with_its_batch_and_stays_rejected(ledger: Ledger) -> None:
    ledger.plan(["a", "b", "c"])
    claimed = ledger.claim_uploads(["a", "b", "c"])
    ledger.record_remote_ids(claimed, {0: "A", 1: "B", 2: "C"})
    ledger.record_outcome(claimed, {0: "A"}, refused={1: NO_LONGER_SHOWN, 2: "too dull"})
    ((title, uploads),) = ledger.claim_deletions().items()
    assert (title, names(uploads)) == (claimed[0].batch, ["a", "b"])
    assert {title: names(each) for title, each in ledger.claim_deletions({"b"}).items()} == {title: ["b"]}
    ledger.record_deletions(uploads)
    assert ledger.claim_deletions() == {}
    assert ledger.planned() == ["a"]
    assert ledger.rejections() == {"b": NO_LONGER_SHOWN, "c": "too dull"}


def test_what_is_being_deleted_is_left_alone_by_others(ledger: Ledger, other: Ledger) -> None:
    confirmed(ledger, "a")
    ledger.release_all()
    uploads = ledger.claim_deletions()
    assert other.claim_downloads("large", {"a"}) == []
    assert other.claim_deletions() == {}
    ledger.record_deletions([each for batch in uploads.values() for each in batch])
    assert names(other.claim_uploads(["a"])) == ["a"]


def test_a_collector_at_work_is_seen_by_whatever_it_has_in_hand(ledger: Ledger, other: Ledger) -> None:
    ledger.record_downloads("large", [Arrival(confirmed(ledger, "a")[0], "address", ANY_FILE)])
    ledger.plan(["b"])
    later = Ledger(other.engine, **(KEY | {"generation": 2}), collector=other.collector)
    somebody = Ledger(other.engine, **(KEY | {"account": "8"}), collector=other.collector)
    assert other.held_elsewhere() and later.held_elsewhere()
    assert not ledger.held_elsewhere() and not somebody.held_elsewhere()
    ledger.release_all()
    assert not other.held_elsewhere()
    ledger.claim_uploads(["b"])
    assert other.held_elsewhere()
    die(ledger)
    assert not other.held_elsewhere()


def test_what_is_deleted_and_goes_up_again_comes_down_anew_in_every_rendition(ledger: Ledger) -> None:
    up = confirmed(ledger, "a")
    ledger.record_downloads("m", [Arrival(up[0], "address", ANY_FILE)], main=False)
    ledger.record_deletions(up)
    assert (ledger.planned(), ledger.downloads("m")) == (["a"], {})


def test_what_is_deleted_and_whose_file_is_gone_goes_up_again(ledger: Ledger) -> None:
    up = confirmed(ledger, "a")
    ledger.record_downloads("large", [Arrival(up[0], "address", ANY_FILE)])
    ledger.record_deletions(up)
    ledger.discard_download(ledger.downloads("large")["a"])
    assert [(each.sha256, each.remote_id, each.batch) for each in ledger.uploads("planned")] == [("a", None, None)]
    again = ledger.claim_uploads(["a"])
    ledger.record_outcome(again, {0: "A2"})
    ledger.record_downloads("large", [Arrival(again[0], "address", ANY_FILE)])
    assert ledger.downloads("large")["a"].upload.remote_id == "A2"


def test_a_mosaic_is_packed_whole_and_an_image_once(ledger: Ledger, other: Ledger) -> None:
    assert pack_mosaic(ledger, [TILE | {"sha256": "a"}, TILE | {"sha256": "b", "x": 16}])
    assert not pack_mosaic(
        other, [TILE | {"sha256": "b", "mosaic": "another"}, TILE | {"sha256": "c", "mosaic": "another"}]
    )
    ledger.plan(["d", "e"])
    other.claim_uploads(["d"])
    assert not pack_mosaic(
        ledger, [TILE | {"sha256": "d", "mosaic": "third"}, TILE | {"sha256": "e", "mosaic": "third"}]
    )
    assert (names(ledger.uploads("sent")), ledger.planned()) == (["d"], ["e"])
    tiles = ledger.tiles()
    assert {name: (each.mosaic, each.x, each.width) for name, each in tiles.items()} == {
        "a": ("m", 0, 16),
        "b": ("m", 16, 16),
    }
    for key in OTHERS:
        assert Ledger(ledger.engine, **KEY | key, collector="me").tiles() == {}


def test_an_image_that_is_just_being_claimed_is_not_packed(ledger: Ledger, other: Ledger) -> None:
    ledger.plan(["a", "b"])
    packed: list[bool] = []
    packing = threading.Thread(
        target=lambda: packed.append(pack_mosaic(ledger, [TILE | {"sha256": "b"}, TILE | {"sha256": "a", "x": 16}]))
    )
    with other.transaction() as session:  # as claim does
        session.execute(update(Upload).where(Upload.sha256 == "a").values(state="sent", collector=other.collector))
        packing.start()
        time.sleep(0.3)
    packing.join()
    assert (packed, ledger.tiles()) == ([False], {})
    assert (names(ledger.uploads("sent")), ledger.planned()) == (["a"], ["b"])


def test_tiles_of_a_mosaic_that_failed_are_planned_alone(ledger: Ledger, other: Ledger) -> None:
    pack_mosaic(ledger, [TILE | {"sha256": "a"}, TILE | {"sha256": "b"}, TILE | {"sha256": "c", "mosaic": "another"}])
    for each in (ledger, other, Ledger(ledger.engine, **KEY | OTHERS[0], collector="me")):
        unpack_mosaic(each, "m", "too large")
    assert ledger.planned() == ["a", "b"] and ledger.tiles().keys() == {"c"}
    ledger.plan(["d"])
    assert ledger.not_packable() == {"a", "b"}
    claimed = ledger.claim_uploads(["a", "b"])
    assert other.busy_elsewhere({"a"})
    ledger.record_outcome(claimed, {0: "A"})
    assert ledger.missing() == {} and ledger.published() == {"a"}
    assert ledger.not_packable() == {"a", "b"}  # b too, which did not go up
    pack_mosaic(ledger, [TILE | {"sha256": "b", "mosaic": "smaller"}])
    assert ledger.planned() == ["d"] and ledger.tiles().keys() == {"b", "c"}


def test_the_database_itself_refuses_what_may_not_be(ledger: Ledger) -> None:
    up = confirmed(ledger, "a")[0]
    ledger.plan(["b"])
    ledger.record_downloads("large", [Arrival(up, "address", ANY_FILE)])
    pack_mosaic(ledger, [TILE | {"sha256": "c"}])
    planned = update(Upload).where(Upload.sha256 == "b")
    download = {"upload_id": up.id, "rendition": "large", "address": "", "sha256": "", "bytes": 1, "verified": False}
    for statement in (
        *(planned.values(state=state) for state in ("confirmed", "downloaded", "verified", "lost")),
        update(Upload).where(Upload.sha256 == "a").values(remote_id=None),
        insert(Upload).values(**KEY, sha256="b"),
        insert(Tile).values(**KEY, **TILE, sha256="c"),
        insert(Download).values(**download),
    ):
        with pytest.raises(IntegrityError), ledger.engine.begin() as connection:
            connection.execute(statement)
    for state in ("sent", "unknown", "rejected"):  # these need no remote id
        with ledger.engine.begin() as connection:
            connection.execute(planned.values(state=state))


def test_a_step_that_fails_halfway_leaves_nothing_of_it(ledger: Ledger) -> None:
    ledger.plan(["a", "b"])
    claimed = ledger.claim_uploads(["a", "b"])

    def fail(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("UPDATE"):
            raise KeyboardInterrupt

    event.listen(ledger.engine, "after_cursor_execute", fail)
    with pytest.raises(KeyboardInterrupt):
        ledger.record_outcome(claimed, {0: "A", 1: "B"})
    event.remove(ledger.engine, "after_cursor_execute", fail)
    assert names(ledger.uploads("sent")) == ["a", "b"]
    assert ledger.uploads("confirmed") == []


def test_a_full_disk_is_a_user_error_and_what_is_done_stays_done(small_disk: Path) -> None:
    with open_ledger(f"sqlite:///{small_disk}/ledger.db") as engine, register_worker(engine) as heartbeat:
        ledger = Ledger(engine, **KEY, collector=heartbeat.id)
        ledger.plan(["a", "b"])
        sent = ledger.claim_uploads(["a"])
        filler = small_disk / "filler"
        with pytest.raises(OSError, match="No space"), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        with pytest.raises(UserError, match=r"can't be written: .*full"):
            for start in range(0, 10_000, 100):
                ledger.plan([f"{number:064}" for number in range(start, start + 100)])
        filler.unlink()
        ledger.record_outcome(sent, {0: "A"})
        assert names(ledger.uploads("confirmed")) == ["a"]
        assert "b" in ledger.planned()
        with engine.connect() as connection:
            assert connection.execute(text("PRAGMA integrity_check")).scalar() == "ok"


def test_a_collector_that_ends_on_a_full_disk_says_so_and_no_more(small_disk: Path) -> None:
    with (
        pytest.raises(UserError, match=r"can't be written: .*full"),
        open_ledger(f"sqlite:///{small_disk}/ledger.db") as engine,
        register_worker(engine) as heartbeat,
    ):
        ledger = Ledger(engine, **KEY, collector=heartbeat.id)
        with pytest.raises(OSError, match="No space"), (small_disk / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        ledger.plan(f"{number:064}" for number in range(10_000))
