"""What is left of a batch is told by content, and only where that is sure."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from collect.errors import TransientError
from collect.platform import Batch, load_platform
from collect.platforms.codec import LocalSession
from collect.round_trip import Original
from collect.round_trip.reconcile import match_remote_ids
from collect.store import LIVE_STATE
from params import PlatformRow, UserError


def told(batch: Sequence[Original], shown: Sequence[Original]) -> tuple[list[str], dict[int, str]]:
    """Have some images served, in that order; return their remote ids and what is told of them."""
    platform = load_platform("jpeg-50", PlatformRow(adapter="codec", codec="jpeg:50"))
    LIVE_STATE.mkdir(parents=True, exist_ok=True)
    with platform.session(Path("local")) as session:
        ids = list(session.upload(Batch("", [each.path for each in shown])).values())
        return ids, match_remote_ids(platform, session, Batch("comreadv x", [each.path for each in batch]), ids)


def test_what_is_left_of_a_batch_is_told_by_content(photos, workplace) -> None:
    originals = photos(6)
    ids, whose = told(originals, [originals[at] for at in (4, 0, 3)])
    assert whose == {4: ids[0], 0: ids[1], 3: ids[2]}
    assert list(LIVE_STATE.iterdir()) == []


def test_what_is_not_sure_is_not_told(photos, workplace, monkeypatch) -> None:
    first, second, third, foreign = photos(4)
    unsure = pytest.raises(UserError, match="of the 3 images that went up as 'comreadv x', and nobody can tell which")
    for shown in ([first, first], [first, foreign]):
        with unsure:
            told([first, second, third], shown)
    third.path.unlink()  # it may be that one
    with unsure:
        told([first, second, third], [first, second])
    shutil.copyfile(first.path, third.path)
    with unsure:
        told([first, second, third], [first])
    monkeypatch.setattr(LocalSession, "download", lambda *_: [TransientError("the connection was cut")])
    with pytest.raises(TransientError, match="the connection was cut"):
        told([first, second, third], [first])
