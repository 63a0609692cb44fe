"""When a browser's context is of no more use."""

from collect.browser import session_health
from collect.browser.session_health import SessionHealth


def test_three_troubles_in_a_row_are_too_many_and_a_good_step_makes_up_for_half_of_one() -> None:
    health = SessionHealth()
    for _ in range(2):
        health.mark_bad()
    for _ in range(2):
        health.mark_good()
    health.mark_bad()
    assert health.is_usable and health.error_score == 2
    health.mark_bad()
    assert not health.is_usable


def test_good_steps_lay_nothing_up_for_worse_days() -> None:
    health = SessionHealth()
    for _ in range(100):
        health.mark_good()
    for _ in range(3):
        health.mark_bad()
    assert not health.is_usable


def test_what_is_retired_or_has_taken_many_steps_is_not_usable(monkeypatch) -> None:
    retired, old = SessionHealth(), SessionHealth()
    retired.retire()
    retired.mark_good()
    monkeypatch.setattr(session_health, "MAX_STEPS", 2)
    old.mark_good()
    assert old.is_usable
    old.mark_good()
    assert not old.is_usable and not SessionHealth(error_score=3.0).is_usable
