"""No more goes up than the platform's limits allow, whoever asks, and a site that asks for less gets it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from collect.errors import PageChanged, RateLimited, TransientError
from collect.ledger import rate_limit
from collect.ledger.ledger import Ledger
from collect.ledger.rate_limit import RateLimit
from collect.ledger.transactions import open_ledger
from collect.platform import load_platform
from collect.retry import MAX_DELAY_S, backoff_seconds, with_jitter
from collect.round_trip.uploads import rate_limit_of
from params import PlatformRow

ACCOUNT = {"platform": "weibo", "site": "live", "account": "7"}
DAY = 24 * 3600


@pytest.fixture
def engine(ledger_url: str) -> Iterator[Engine]:
    with open_ledger(ledger_url) as opened:
        yield opened


@pytest.fixture(autouse=True)
def the_clock(monkeypatch: pytest.MonkeyPatch, clock) -> None:
    monkeypatch.setattr(rate_limit, "time", clock)


def rate(engine: Engine, per_minute: float = 6, per_day: float = 1000, **account: str) -> RateLimit:
    return RateLimit(engine, ACCOUNT | account, per_minute=per_minute, per_day=per_day)


def test_rows_of_one_adapter_share_an_accounts_rate(engine: Engine) -> None:
    site = load_platform("weibo", PlatformRow(adapter="weibo", site="live"))
    rows = [
        Ledger(engine, platform=row, site="live", account="7", generation=1, collector="one")
        for row in ("weibo", "weibo-small")
    ]
    first, second = (rate_limit_of(site, ledger) for ledger in rows)
    assert first and second
    assert first.take(9) == 0
    assert second.take(9) > 0


def test_a_bucket_is_emptied_and_fills_with_time(engine: Engine, clock) -> None:
    bucket = rate(engine)
    assert bucket.take(4) == 0
    assert bucket.take(4) == pytest.approx(20)  # 2 are left of 6, and one comes in 10 seconds
    assert bucket.take(4) == pytest.approx(20)  # asking costs nothing
    assert bucket.take(2) == 0
    clock.now += 15
    assert bucket.take(4) == pytest.approx(25)
    clock.now += 25.001
    assert bucket.take(4) == 0
    clock.now += 10 * DAY
    assert bucket.take(6) == 0
    assert bucket.take(1) == pytest.approx(10)  # it never holds more than a minute's


def test_a_bucket_outlives_a_restart(ledger_url: str, clock) -> None:
    with open_ledger(ledger_url) as engine:
        assert rate(engine).take(6) == 0
    clock.now += 5
    with open_ledger(ledger_url) as engine:
        assert rate(engine).take(6) == pytest.approx(55)


def test_two_collectors_draw_on_the_same_bucket_and_two_accounts_do_not(engine: Engine) -> None:
    one, two = rate(engine), rate(engine)
    assert one.take(3) == 0
    assert two.take(3) == 0
    assert one.take(1) > 0
    assert two.take(1) > 0
    for account in ({"account": "8"}, {"platform": "douban"}, {"site": "sandbox"}):
        assert rate(engine, **account).take(6) == 0


def test_an_account_that_is_turned_away_rests_whoever_asks_and_after_a_restart(ledger_url: str, clock) -> None:
    with open_ledger(ledger_url) as engine:
        assert rate(engine).take(2) == 0
        rate(engine).leave_alone(3600)
        rate(engine).leave_alone(60)  # what another was told since makes it no shorter
        assert rate(engine, account="8").take(6) == 0
    clock.now += 600
    with open_ledger(ledger_url) as engine:
        assert rate(engine).rest() == rate(engine).take(1) == pytest.approx(3000)
        clock.now += 3000.001
        assert rate(engine).rest() == 0
        assert rate(engine).take(6) == 0  # resting has cost nothing
        assert rate(engine).take(1) == pytest.approx(10)


def test_a_site_that_asks_for_years_is_left_alone_for_a_day(engine: Engine) -> None:
    rate(engine).leave_alone(1e9)
    assert rate(engine).take(1) == pytest.approx(DAY)


def test_many_that_ask_at_once_get_no_more_than_there_is(ledger_url: str) -> None:
    def ask(_: int) -> int:
        with open_ledger(ledger_url) as engine:
            return sum(rate(engine, per_minute=20).take(1) == 0 for _ in range(8))

    with ThreadPoolExecutor(5) as pool:
        assert sum(pool.map(ask, range(5), timeout=60)) == 20


def test_the_day_has_a_limit_of_its_own(engine: Engine, clock) -> None:
    bucket = rate(engine, per_minute=10, per_day=100)
    assert bucket.take(10) == 0  # a tenth at once
    clock.now += 60
    assert bucket.take(10) == pytest.approx(10 / 90 * DAY, rel=0.01)  # the other nine tenths come in over the day
    assert bucket.take(10) > 0
    clock.now += DAY
    assert bucket.take(10) == 0


def test_a_batch_larger_than_a_minutes_worth_goes_when_its_time_has_come(engine: Engine, clock) -> None:
    bucket = rate(engine, per_minute=3)
    wait = bucket.take(9)
    assert wait == pytest.approx(120)  # 3 are there
    clock.now += wait + 0.001
    assert bucket.take(9) == 0
    assert bucket.take(9) == pytest.approx(180, rel=0.01)


def test_a_clock_that_is_set_back_gives_nothing_away_and_does_not_stall(engine: Engine, clock) -> None:
    bucket = rate(engine)
    assert bucket.take(6) == 0
    clock.now -= 3600
    assert bucket.take(6) == pytest.approx(60)
    clock.now += 60.001
    assert bucket.take(6) == 0


numbers = count()
limits = st.floats(0.2, 60), st.integers(10, 2000)


@pytest.fixture(scope="module")
def one_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with open_ledger(f"sqlite:///{tmp_path_factory.mktemp('rates')}/ledger.db") as opened:
        yield opened


@given(*limits, st.lists(st.tuples(st.floats(0, 400) | st.floats(0, 2 * DAY), st.integers(1, 10)), max_size=20))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_over_any_time_no_more_goes_up_than_a_full_bucket_and_what_flows_in(
    one_engine: Engine, clock, per_minute: float, per_day: int, asked: list[tuple[float, int]]
) -> None:
    given_out = []
    account = {"account": str(next(numbers))}
    both = [rate(one_engine, per_minute, per_day, **account) for _ in range(2)]  # collectors
    for at, (passes, tokens) in enumerate(asked):
        clock.now += passes
        if wait := both[at % 2].take(tokens):
            clock.now += wait / 2
            assert both[at % 2].take(tokens) > 0  # never before the time that it said
            clock.now += wait / 2 + 1e-3
            assert both[at % 2].take(tokens) == 0  # and always then
        given_out.append((clock.now, tokens))
    most = max((tokens for _, tokens in asked), default=0)
    for first, (start, _) in enumerate(given_out):
        total = 0
        for now, tokens in given_out[first:]:
            total += tokens
            assert total <= max(per_minute, most) + per_minute * (now - start) / 60 + 1e-3
            assert total <= max(per_day / 10, most) + 0.9 * per_day * (now - start) / DAY + 1e-3


@pytest.mark.parametrize(
    ("trouble", "first"), [(TransientError("x"), 4), (PageChanged("x"), 4), (RateLimited("x"), 60)]
)
def test_waits_double_up_to_the_longest_and_are_never_in_step(trouble: TransientError, first: float) -> None:
    for failures in (1, 2, 3, 5, 8, 20, 100, 10_000):
        waits = [backoff_seconds(trouble, failures, live=True) for _ in range(200)]
        full = min(first * 2.0 ** min(failures - 1, 50), MAX_DELAY_S)
        assert 0.5 * full <= min(waits) < 0.6 * full
        assert 0.9 * full < max(waits) <= full
        assert len(set(waits)) > 190


def test_on_this_computer_nobody_waits_long() -> None:
    assert backoff_seconds(RateLimited("x"), 1, live=False) <= 0.05
    assert 0.5 <= backoff_seconds(TransientError("x"), 100, live=False) <= 2


@pytest.mark.parametrize("live", [True, False])
@given(st.floats(0, 10 * DAY), st.integers(1, 100))
def test_what_the_site_asks_for_is_the_least(live: bool, asks: float, failures: int) -> None:
    wait = backoff_seconds(RateLimited("x", asks), failures, live=live)
    assert wait >= asks
    assert wait == asks or wait <= MAX_DELAY_S


@given(st.floats(0, DAY))
def test_jitter_is_about_as_long(seconds: float) -> None:
    assert 0.5 * seconds <= with_jitter(seconds) <= 1.5 * seconds
    assert seconds < 1e-300 or len({with_jitter(seconds) for _ in range(20)}) > 10
