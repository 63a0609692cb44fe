"""What may be read twice is read again after a passing fault, and nothing else is."""

import pytest

from collect import retry
from collect.errors import CaptchaRequired, NotSignedIn, RateLimited, TransientError
from collect.platform import Site, load_platform
from collect.retry import retry_read
from params import PlatformRow, UserError


@pytest.fixture
def site() -> Site:
    adapter = load_platform("weibo", PlatformRow(adapter="weibo"), origin="http://127.0.0.1:1")
    assert isinstance(adapter, Site)
    return adapter


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch, clock) -> list[float]:
    monkeypatch.setattr(retry, "time", clock)
    return clock.slept


def failing(*troubles: Exception):
    """Make what raises the troubles in turn, then reads "done"; its list tells how often it was called."""
    calls: list[int] = []

    def read() -> str:
        calls.append(1)
        if len(calls) <= len(troubles):
            raise troubles[len(calls) - 1]
        return "done"

    return read, calls


def test_reading_is_tried_a_few_times(site: Site, waits: list[float]) -> None:
    read, calls = failing(*[TransientError("x")] * (retry.MAX_READ_ATTEMPTS - 1))
    assert retry_read(site, read) == "done"
    assert (len(calls), len(waits)) == (retry.MAX_READ_ATTEMPTS, retry.MAX_READ_ATTEMPTS - 1)
    read, calls = failing(*[TransientError("x")] * retry.MAX_READ_ATTEMPTS)
    with pytest.raises(TransientError):
        retry_read(site, read)
    assert len(calls) == retry.MAX_READ_ATTEMPTS


@pytest.mark.parametrize("trouble", [CaptchaRequired("x"), NotSignedIn(), UserError("x"), KeyError("x")])
def test_what_does_not_pass_by_waiting_is_not_tried_again(trouble: Exception, site: Site, waits: list[float]) -> None:
    read, calls = failing(trouble)
    with pytest.raises(type(trouble)):
        retry_read(site, read)
    assert (len(calls), waits) == (1, [])


def test_a_long_wait_is_not_made_on_the_spot(site: Site, waits: list[float]) -> None:
    read, calls = failing(RateLimited("x", retry.MAX_READ_DELAY_S + 1))
    with pytest.raises(RateLimited):
        retry_read(site, read)
    assert (len(calls), waits) == (1, [])
    read, calls = failing(RateLimited("x", 9))
    assert retry_read(site, read) == "done"
    assert waits == [9]
