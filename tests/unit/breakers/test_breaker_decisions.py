"""A breaker opens, lets one through, and closes: what is decided, fact by fact."""

from datetime import timedelta
from typing import Any

import pytest
from fairlead_tenants.ids import EnvironmentId

from fairlead.domain import breakers as b
from tests.support.clock import T0
from tests.support.given import Spec, given

BREAKERS: Spec[b.BreakerCommand, b.BreakerState, b.BreakerEvent] = Spec(b.decide, b.evolve, b.initial)
LIVE = EnvironmentId("env_main")


def trip(after_s: float = 0.0, **fields: Any) -> b.TripBreaker:
    said: dict[str, Any] = {"failures": 5, "calls": 6, "error_class": "timeout", "code": "timeout"} | fields
    return b.TripBreaker(environment_id=LIVE, connector="bills", now=T0 + timedelta(seconds=after_s), **said)


def opened(opening: int = 1, in_a_row: int = 1, after_s: float = 0.0, **fields: Any) -> b.BreakerOpened:
    said: dict[str, Any] = {"failures": 5, "calls": 6, "error_class": "timeout", "code": "timeout"} | fields
    cooling_s = b.cooling_s(in_a_row)
    return b.BreakerOpened(
        environment_id=LIVE,
        connector="bills",
        opening=opening,
        in_a_row=in_a_row,
        cooling_s=cooling_s,
        probe_at=T0 + timedelta(seconds=after_s + cooling_s),
        **said,
    )


def begin(waited_s: float = 5.0, opening: int = 1, worker: str = "w1", after: int = 0) -> b.BeginProbe:
    return b.BeginProbe(opening=opening, worker=worker, lease_s=10.0, waited_s=waited_s, after=after)


def probing(probe: int = 1, worker: str = "w1") -> b.BreakerProbing:
    return b.BreakerProbing(probe=probe, worker=worker, lease_s=10.0)


def test_what_one_process_counted_opens_it_for_all() -> None:
    assert given(BREAKERS).when(trip()) == [opened()]


def test_what_a_second_process_counted_changes_nothing() -> None:
    assert given(BREAKERS, opened()).when(trip()) == []
    assert given(BREAKERS, opened(), probing()).when(trip()) == []


@pytest.mark.parametrize(("waited_s", "through"), [(4.9, False), (5.0, True), (5.1, True)])
def test_a_probe_is_let_through_once_it_has_cooled(waited_s: float, through: bool) -> None:
    assert given(BREAKERS, opened()).when(begin(waited_s)) == ([probing()] if through else [])


def test_a_second_probe_is_not_let_through_while_the_first_is_out() -> None:
    assert given(BREAKERS, opened(), probing()).when(begin(60.0, worker="w2")) == []


def test_whoever_waited_for_an_earlier_opening_has_not_waited_for_this_one() -> None:
    assert given(BREAKERS, opened(2)).when(begin(60.0, opening=1)) == []


@pytest.mark.parametrize(("waited_s", "after", "through"), [(9.9, 1, False), (10.0, 1, True), (10.0, 0, False)])
def test_a_probe_that_never_reports_gives_way_to_another(waited_s: float, after: int, through: bool) -> None:
    again = begin(waited_s, worker="w2", after=after)
    assert given(BREAKERS, opened(), probing()).when(again) == ([probing(2, "w2")] if through else [])


def test_an_answered_probe_closes_it() -> None:
    closed = b.BreakerClosed(by="probe", forget_at=T0 + timedelta(seconds=b.FORGET_S))
    assert given(BREAKERS, opened(), probing()).when(b.ReportProbe(probe=1, now=T0)) == [closed]


def test_a_probe_that_fails_opens_it_for_twice_as_long() -> None:
    report = b.ReportProbe(probe=1, now=T0, failed=("transient", "busy"))
    again = opened(2, 2, failures=1, calls=1, error_class="transient", code="busy")
    assert given(BREAKERS, opened(), probing()).when(report) == [again]
    assert (b.cooling_s(1), b.cooling_s(2), b.cooling_s(3)) == (5.0, 10.0, 20.0)


def test_cooling_never_takes_longer_than_its_longest() -> None:
    assert b.cooling_s(7) == b.cooling_s(10_000) == b.MAX_COOLING_S


def test_a_report_of_a_probe_that_gave_way_changes_nothing() -> None:
    assert given(BREAKERS, opened(), probing(), probing(2)).when(b.ReportProbe(probe=1, now=T0)) == []
    assert given(BREAKERS, opened()).when(b.ReportProbe(probe=1, now=T0)) == []


@pytest.mark.parametrize(("after_s", "in_a_row"), [(b.FORGET_S - 1, 2), (b.FORGET_S, 1)])
def test_one_that_opens_again_soon_cools_longer(after_s: float, in_a_row: int) -> None:
    closed = given(BREAKERS, opened(), probing()).after(b.ReportProbe(probe=1, now=T0))
    assert closed.when(trip(after_s)) == [opened(2, in_a_row, after_s)]


def test_a_person_closes_it_and_it_starts_over_with_the_shortest_cooling() -> None:
    reset = given(BREAKERS, opened(3, 3)).after(b.ResetBreaker(reason="mended", now=T0))
    assert isinstance(reset.state, b.Closed)
    assert reset.when(trip()) == [opened(4)]
    assert reset.when(b.ResetBreaker(reason="again", now=T0)) == []


def test_what_a_person_says_is_kept_without_secrets() -> None:
    key = "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc"
    (closed,) = given(BREAKERS, opened(), probing()).when(b.ResetBreaker(reason=f"new key {key}", now=T0))
    assert isinstance(closed, b.BreakerClosed)
    assert closed.reason.startswith("new key")
    assert key not in closed.reason


def test_a_breaker_that_never_opened_is_not_found() -> None:
    with pytest.raises(b.NoSuchBreaker):
        given(BREAKERS).when(b.ResetBreaker(reason="", now=T0))


def test_a_probe_of_a_closed_breaker_is_nothing_special() -> None:
    assert given(BREAKERS).when(begin()) == []


def test_each_environment_connector_and_connection_has_its_own() -> None:
    named = {
        b.breaker_id("env_main", "bills", None),
        b.breaker_id("env_test", "bills", None),
        b.breaker_id("env_main", "mail", None),
        b.breaker_id("env_main", "bills", "con_1"),
    }
    assert named == {"brk_main-bills", "brk_test-bills", "brk_main-mail", "brk_main-bills-con_1"}
