"""The ledger knows every attempt before it is made, and settles those that were cut off."""

from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from collect.ledger import Ledger, Upload, open_ledger
from params import UserError

KEY = {"platform": "weibo", "site": "sandbox", "account": "7", "generation": 1}


@pytest.fixture
def ledger(tmp_path: Path):
    with open_ledger(f"sqlite:///{tmp_path}/deep/ledger.db") as session:
        yield Ledger(session, **KEY)


def test_an_image_is_planned_once_for_an_account_and_a_generation(ledger: Ledger) -> None:
    ledger.plan(["a", "b", "a"])
    ledger.plan(["b", "c"])
    assert [each.sha256 for each in ledger.uploads("planned")] == ["a", "b", "c"]
    for key in ({"account": "8"}, {"generation": 2}, {"platform": "douban"}, {"site": "live"}):
        other = Ledger(ledger.session, **KEY | key)
        other.plan(["a"])
        assert len(other.uploads("planned")) == 1
    ledger.session.add(Upload(**KEY, sha256="a"))
    with pytest.raises(IntegrityError):
        ledger.session.commit()


def test_an_attempt_is_on_disk_before_it_is_made(ledger: Ledger, tmp_path: Path) -> None:
    ledger.plan(["a", "b"])
    title = ledger.send(ledger.uploads("planned"))
    with open_ledger(f"sqlite:///{tmp_path}/deep/ledger.db") as elsewhere:
        seen = Ledger(elsewhere, **KEY).uploads("sent")
    assert [(each.sha256, each.batch, each.position) for each in seen] == [("a", title, 0), ("b", title, 1)]


def test_doubt_is_settled_by_what_the_platform_shows(ledger: Ledger) -> None:
    ledger.plan(["a", "b", "c"])
    uploads = ledger.uploads("planned")
    title = ledger.send(uploads)
    ledger.receive(uploads[1], "remote-b")
    doubtful = ledger.doubt()
    assert list(doubtful) == [title]
    assert {each.state for each in doubtful[title]} == {"unknown"}
    ledger.settle(doubtful[title], {1: "remote-b"})
    assert [each.sha256 for each in ledger.uploads("confirmed")] == ["b"]
    assert [(each.sha256, each.remote_id, each.batch) for each in ledger.uploads("planned")] == [
        ("a", None, None),
        ("c", None, None),
    ]
    assert ledger.doubt() == {}


def test_a_refusal_keeps_its_reason_and_frees_the_rest_of_the_batch(ledger: Ledger) -> None:
    ledger.plan(["a", "b", "c"])
    uploads = ledger.uploads("planned")
    ledger.send(uploads)
    ledger.reject(uploads, 1, "too dull")
    assert ledger.rejections() == {"b": "too dull"}
    assert [each.sha256 for each in ledger.uploads("planned")] == ["a", "c"]


def test_each_rendition_is_downloaded_once(ledger: Ledger, tmp_path: Path) -> None:
    ledger.plan(["a", "b"])
    ledger.confirm(ledger.uploads("planned"), ["1", "2"])
    file = tmp_path / "served"
    file.write_bytes(b"bytes")
    ledger.keep(ledger.without("large")[0], "large", "https://wx1.sinaimg.cn/large/1.jpg", file)
    assert [each.sha256 for each in ledger.without("large")] == ["b"]
    assert [each.sha256 for each in ledger.without("thumb150")] == ["a", "b"]
    assert ledger.downloads("large")["a"].bytes == 5


def test_no_upload_is_confirmed_without_a_remote_id_or_in_an_unknown_state(ledger: Ledger) -> None:
    ledger.plan(["a"])
    for values in ({"state": "confirmed"}, {"state": "lost"}):
        with pytest.raises(IntegrityError):
            ledger.session.execute(update(Upload).values(**values))
        ledger.session.rollback()


@pytest.mark.parametrize("url", ["nonsense", "postgresql+nodriver://x/y", "sqlite:////proc/none/ledger.db"])
def test_an_address_that_cannot_be_opened_is_a_user_error(url: str) -> None:
    with pytest.raises(UserError, match=r"collect.ledger in params.yaml"), open_ledger(url):
        pass
