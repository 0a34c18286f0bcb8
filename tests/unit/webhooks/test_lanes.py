"""Order within a run, none between runs; when what failed is tried again."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.domain.webhooks.backoff import FIRST_S, MOST_S, pause_s
from fairlead.domain.webhooks.lanes import Lanes, Waiting, lane_of
from tests.support.clock import T0


def waiting(number: int, lane: str = "run_a", due_s: float = 0.0) -> Waiting:
    due_at = T0 + timedelta(seconds=due_s)
    return Waiting(
        number=number, sequence=number, index=0, event_type="run.started.v1", lane=lane, attempts=0, due_at=due_at
    )


def taken(lanes: Lanes, after_s: float = 0.0) -> int | None:
    found = lanes.take(T0 + timedelta(seconds=after_s))
    return found.number if found else None


def test_one_of_a_run_is_under_way_and_others_go_on() -> None:
    lanes = Lanes([waiting(1), waiting(2), waiting(3, "run_b")])
    assert [taken(lanes), taken(lanes), taken(lanes)] == [1, 3, None]
    lanes.done(waiting(1))
    assert taken(lanes) == 2
    assert len(lanes) == 2


def test_what_failed_holds_back_its_own_run_alone_until_its_time() -> None:
    lanes = Lanes([waiting(1), waiting(2), waiting(3, "run_b"), waiting(4, "run_b")])
    first = lanes.take(T0)
    assert first is not None
    lanes.again(first, T0 + timedelta(seconds=10), T0)
    third = lanes.take(T0)
    assert third is not None
    assert third.number == 3
    lanes.done(third)
    assert taken(lanes) == 4
    assert taken(lanes, 9.9) is None
    assert lanes.next_due() == T0 + timedelta(seconds=10)
    again = lanes.take(T0 + timedelta(seconds=10))
    assert again is not None
    assert (again.number, again.attempts, again.first_failed_at) == (1, 1, T0)


def test_a_lane_that_was_emptied_begins_anew() -> None:
    lanes = Lanes([waiting(1)])
    assert taken(lanes) == 1
    lanes.done(waiting(1))
    assert (len(lanes), lanes.next_due()) == (0, None)
    lanes.add(waiting(2))
    assert taken(lanes) == 2


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40))
def test_whatever_fails_each_run_is_told_in_order(plan: list[tuple[str, bool]]) -> None:
    lanes = Lanes(waiting(number, lane) for number, (lane, _) in enumerate(plan))
    fails = {number for number, (_, does_fail) in enumerate(plan) if does_fail}
    now, told = T0, list[Waiting]()
    while lanes:
        found = lanes.take(now)
        if found is None:
            now += timedelta(seconds=1)
        elif found.number in fails:
            fails.discard(found.number)
            lanes.again(found, now + timedelta(seconds=3), now)
        else:
            told.append(found)
            lanes.done(found)
    for lane in "abc":
        numbers = [each.number for each in told if each.lane == lane]
        assert numbers == [number for number, (of, _) in enumerate(plan) if of == lane]


def test_an_approval_is_told_of_in_line_with_its_run() -> None:
    assert lane_of("approval", "apr_x-3") == lane_of("run", "run_x") == "run_x"
    assert lane_of("tenant", "tnt_x") == "tenant/tnt_x"


def test_pauses_double_up_to_an_hour_and_are_drawn_from_their_whole_length() -> None:
    assert [pause_s(attempts, 1.0) for attempts in (1, 2, 3)] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S]
    assert pause_s(40, 1.0) == MOST_S
    assert pause_s(5, 0.0) == 0.0


@pytest.mark.parametrize(("asked_s", "pause"), [(None, 1.0), (0.5, 1.0), (30.0, 30.0), (90_000.0, MOST_S)])
def test_the_receiver_may_ask_for_longer_and_not_for_ever(asked_s: float | None, pause: float) -> None:
    assert pause_s(1, 0.5, asked_s) == pause
