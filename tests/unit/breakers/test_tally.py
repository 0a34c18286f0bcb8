"""What is enough to open a breaker: many failures, and much of what was tried, within half a minute."""

from hypothesis import given
from hypothesis import strategies as st

from fairlead.domain.outages import LEAST_FAILURES, LEAST_SHARE, WINDOW_S, Counted, Tally


def counted(*outcomes: bool, every_s: float = 0.1) -> Counted | None:
    """What the last of these says; False is a failure."""
    tally, said = Tally(), None
    for number, fine in enumerate(outcomes):
        said = tally.record(not fine, number * every_s)
    return said


def test_one_less_is_not_enough() -> None:
    assert counted(*[False] * (LEAST_FAILURES - 1)) is None
    assert counted(*[False] * LEAST_FAILURES) == Counted(LEAST_FAILURES, LEAST_FAILURES)


def test_failures_among_many_that_went_well_are_not_enough() -> None:
    assert counted(*[True] * 6, *[False] * 5) is None
    assert counted(*[True] * 5, *[False] * 5) == Counted(5, 10)


def test_failures_far_apart_are_not_enough() -> None:
    assert counted(*[False] * 50, every_s=WINDOW_S / (LEAST_FAILURES - 1)) is None


def test_after_speaking_once_it_begins_anew() -> None:
    tally = Tally()
    said = [tally.record(True, 1.0) for _ in range(2 * LEAST_FAILURES)]
    assert [number for number, each in enumerate(said, start=1) if each] == [LEAST_FAILURES, 2 * LEAST_FAILURES]


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 5)), max_size=80))
def test_it_never_speaks_of_more_than_there_was(calls: list[tuple[bool, float]]) -> None:
    tally, now_s = Tally(), 0.0
    seen: list[tuple[float, bool]] = []
    for failed, pause_s in calls:
        now_s += pause_s
        seen.append((now_s, failed))
        if (said := tally.record(failed, now_s)) is not None:
            inside = [bad for at, bad in seen if at > now_s - WINDOW_S - 1.0]  # the oldest go a second at a time
            assert LEAST_FAILURES <= said.failures <= sum(inside)
            assert LEAST_SHARE * said.calls <= said.failures <= said.calls <= len(inside)
            seen.clear()
