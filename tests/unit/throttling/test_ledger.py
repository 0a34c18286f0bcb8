"""The ledger of a limit, asked by random processes at random times: it never gives what is not there."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.domain.throttling import (
    LEASE_MS,
    PERIOD_MS,
    Ask,
    Ledger,
    Limit,
    Used,
    free_at_ms,
    settle,
)

PROCESSES = ("p1", "p2", "p3")
TENANTS = ("ann", "bob", "cid")
asked = st.tuples(
    st.sampled_from(PROCESSES),
    st.sampled_from(TENANTS),
    st.integers(0, 8),  # calls
    st.integers(0, 3),  # ahead
    st.integers(0, 4),  # places in use that are left since the last time
    st.integers(0, 20_000),  # since then
)
limits = st.builds(
    Limit,
    key=st.just("k"),
    calls_per_minute=st.none() | st.integers(1, 40),
    max_concurrent=st.none() | st.integers(1, 6),
    shared=st.booleans(),
)


@settings(max_examples=300, deadline=None)
@given(limit=limits, asks=st.lists(asked, max_size=40))
def test_no_window_has_more_calls_and_no_moment_more_places_than_the_limit_says(
    limit: Limit, asks: list[tuple[str, str, int, int, int, int]]
) -> None:
    ledger, now_ms = Ledger(), 1_000_000
    begun: list[Used] = []
    held: dict[str, tuple[int, int, int]] = {}  # by process: fence, places, when their lease ends
    for process, tenant, calls, ahead, left, pause_ms in asks:
        now_ms += pause_ms
        fence, places, until_ms = held.get(process, (0, 0, 0))
        in_use = max(0, places - left)
        ask = Ask(holder=process, tenant=tenant, calls=calls, ahead=ahead, in_use=in_use, fence=fence)
        ledger, got = settle(ledger, limit, ask, now_ms)
        assert got.lost == (bool(fence) and until_ms <= now_ms)
        assert 0 <= got.calls <= calls
        kept = 0 if got.lost else in_use
        held[process] = (got.fence, kept + got.calls if got.fence else 0, now_ms + LEASE_MS)
        begun.append(Used(got.until_ms, got.calls + got.ahead))
        if limit.max_concurrent is not None:
            alive = sum(count for _, count, until in held.values() if until > now_ms)
            assert alive <= limit.max_concurrent
            assert alive == sum(each.count for each in ledger.held if each.until_ms > now_ms)
        if limit.calls_per_minute is not None:
            assert sum(each.count for each in begun if each.until_ms + PERIOD_MS > now_ms) <= limit.calls_per_minute


@given(limit=st.builds(Limit, key=st.just("k"), calls_per_minute=st.integers(1, 20)), calls=st.lists(st.integers(1, 5)))
def test_whoever_comes_back_when_told_finds_a_call(limit: Limit, calls: list[int]) -> None:
    ledger, now_ms = Ledger(), 0
    for number, count in enumerate(calls):
        now_ms += 137 * number
        ledger, _ = settle(ledger, limit, Ask(holder="p", tenant="t", calls=count), now_ms)
    for nth in range(1, (limit.calls_per_minute or 0) + 1):
        at_ms = free_at_ms(ledger, limit, nth, now_ms)
        _, got = settle(ledger, limit, Ask(holder="p", tenant="t", calls=nth), at_ms)
        assert got.calls == nth
        if at_ms > now_ms:
            _, before = settle(ledger, limit, Ask(holder="p", tenant="t", calls=nth), at_ms - 1)
            assert before.calls < nth


def test_what_was_asked_for_in_vain_leaves_no_trace_where_nobody_shares() -> None:
    limit = Limit(key="k", calls_per_minute=1)
    full, _ = settle(Ledger(), limit, Ask(holder="p", tenant="t", calls=1), 0)
    after, got = settle(full, limit, Ask(holder="q", tenant="t", calls=1), 10)
    assert (after is full, got.calls, got.short_of) == (True, 0, "calls")


def test_calls_that_were_given_back_are_there_again() -> None:
    limit = Limit(key="k", calls_per_minute=5)
    full, got = settle(Ledger(), limit, Ask(holder="p", tenant="t", calls=2, ahead=3), 0)
    back = Ask(holder="p", tenant="t", unused=(Used(got.until_ms, 3),))
    _, again = settle(settle(full, limit, back, 500)[0], limit, Ask(holder="q", tenant="t", calls=5), 600)
    assert again.calls == 3
