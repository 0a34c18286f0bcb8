"""For how long a tenant keeps what, and what legal holds keep."""

from datetime import timedelta
from typing import Any

import pytest
from fairlead_tenants.ids import PrincipalId

from fairlead.domain import retention as r
from fairlead.domain.errors import Invalid
from tests.support.clock import T0

ANN = PrincipalId("prn_ann")
MOMENT = timedelta(microseconds=1)


def change(at: timedelta = timedelta(0), expected: int | None = None, **settings: Any) -> r.ChangeRetention:
    return r.ChangeRetention(
        settings=r.Settings(**settings), reason="the law", by=ANN, now=T0 + at, expected_version=expected
    )


def hold(number: int = 1, **what: Any) -> r.PlaceHold:
    return r.PlaceHold(hold_id=f"hld_{number}", reason="a case", by=ANN, now=T0, **what)


def after(*commands: r.RetentionCommand) -> r.Retention:
    state = r.initial()
    for command in commands:
        for event in r.decide(command, state):
            state = r.evolve(state, event)
    return state


def test_a_year_is_kept_and_seven_of_the_ledger_unless_something_is_said() -> None:
    kept = r.initial().at(T0)
    assert (kept.runs_days, kept.access_days, kept.objects_days, kept.ledger_years) == (365, 365, None, 7)


def test_what_is_shorter_counts_after_seven_days_and_what_is_longer_at_once() -> None:
    shorter = after(change(runs_days=30))
    assert shorter.at(T0 + r.GRACE - MOMENT).runs_days == 365
    assert shorter.at(T0 + r.GRACE).runs_days == 30
    longer = after(change(runs_days=30), change(r.GRACE, runs_days=90))
    assert longer.at(T0 + r.GRACE).runs_days == 90


def test_a_second_change_within_the_grace_does_not_end_it_early() -> None:
    state = after(change(runs_days=30), change(timedelta(days=1), runs_days=90))
    assert state.at(T0 + timedelta(days=2)).runs_days == 365
    assert state.at(T0 + r.GRACE).runs_days == 365, "the second one has a grace of its own"
    assert state.at(T0 + timedelta(days=1) + r.GRACE).runs_days == 90


def test_one_thing_longer_and_another_shorter_waits_with_the_shorter_only() -> None:
    state = after(change(runs_days=30), change(r.GRACE, runs_days=90, access_days=30))
    assert (state.at(T0 + r.GRACE).runs_days, state.at(T0 + r.GRACE).access_days) == (90, 365)


def test_objects_that_were_kept_for_ever_are_for_as_long_as_the_grace() -> None:
    state = after(change(objects_days=30))
    assert (state.at(T0).objects_days, state.at(T0 + r.GRACE).objects_days) == (None, 30)


@pytest.mark.parametrize("years", [0, 8])
def test_a_ledger_is_kept_for_a_year_at_least_and_for_seven_at_most(years: int) -> None:
    with pytest.raises(Invalid):
        r.decide(change(ledger_years=years), r.initial())


@pytest.mark.parametrize("years", [1, 7])
def test_the_bounds_of_a_ledger_are_within(years: int) -> None:
    assert after(change(runs_days=90, ledger_years=years)).settings.ledger_years == years


def test_the_same_again_is_no_news_and_a_version_that_was_not_seen_is_refused() -> None:
    state = after(change(runs_days=30))
    assert r.decide(change(runs_days=30), state) == []
    assert r.decide(change(runs_days=90, expected=1), state)
    with pytest.raises(r.RetentionMoved):
        r.decide(change(runs_days=90, expected=0), state)


def test_a_hold_keeps_a_run_or_those_with_all_its_labels_or_everything() -> None:
    one = after(hold(run_id="run_1"))
    assert (len(one.holds_on("run_1", {})), one.holds_on("run_2", {}), one.holds_everything) == (1, (), False)
    labelled = after(hold(labels={"customer": "c1", "case": "7"}))
    assert labelled.holds_on("run_2", {"customer": "c1", "case": "7", "more": "x"})
    assert not labelled.holds_on("run_2", {"customer": "c1"})
    everything = after(hold())
    assert (len(everything.holds_on("run_9", {})), everything.holds_everything) == (1, True)


def test_a_hold_is_released_once_and_with_a_reason() -> None:
    released = after(hold(run_id="run_1"), r.ReleaseHold(hold_id="hld_1", reason="settled"))
    assert released.holds == {}
    with pytest.raises(r.NoSuchHold):
        r.decide(r.ReleaseHold(hold_id="hld_1", reason="settled"), released)


def test_a_hold_names_a_run_or_labels() -> None:
    with pytest.raises(Invalid):
        r.decide(hold(run_id="run_1", labels={"a": "b"}), r.initial())


def test_open_holds_are_bounded() -> None:
    full = after(*(hold(number, run_id=f"run_{number}") for number in range(r.MOST_HOLDS)))
    with pytest.raises(r.TooManyHolds):
        r.decide(hold(r.MOST_HOLDS, run_id="run_more"), full)
    assert r.decide(hold(0, run_id="run_0"), full) == [], "the same request again"


def test_a_secret_in_a_reason_is_not_recorded() -> None:
    (event,) = r.decide(
        r.PlaceHold(hold_id="hld_1", reason="see ghp_0123456789012345678901234567890123456", by=ANN, now=T0),
        r.initial(),
    )
    assert isinstance(event, r.HoldPlaced)
    assert "ghp_" not in event.reason
