"""What a call passes before it is made: limits that make it wait, and a breaker that lets one through to see."""

import asyncio
from typing import Any

import pytest
from fairlead_sdk.contract import Effect
from fairlead_sdk.errors import TryLater
from fairlead_tenants.ids import EnvironmentId, TenantId

from fairlead.domain import breakers as b
from fairlead.domain.envelope import Sequence, StreamRef
from fairlead.domain.outages import LEAST_FAILURES
from fairlead.domain.runs import events as e
from fairlead.domain.runs.commands import CallErred, CallSucceeded, HoldCall
from fairlead.domain.tenants.commands import DisablePrincipal
from fairlead.workers.gates import Asked, Entered, Gates, Instead, PutBack
from tests.support.books import Books
from tests.support.clock import T0
from tests.support.documents import Plain
from tests.support.platform import AGENT, PAYING, Platform, ended, running, the_call
from tests.support.tenancy import BY_OWNER, LIVE, TENANT

FINE = CallSucceeded(output={})
GONE = CallErred(error_class="timeout", code="timeout", message="no answer")
BREAKER = StreamRef(TENANT, "breaker", b.breaker_id(LIVE, "bills", None))


def asked(**fields: Any) -> Asked:
    complete: dict[str, Any] = {
        "tenant_id": TENANT,
        "environment_id": LIVE,
        "tool": "bills.pay",
        "effect": Effect.WRITE,
        "timeout_s": 5.0,
    }
    return Asked(**(complete | fields))


async def entered(gates: Gates, **fields: Any) -> Entered:
    entry = await gates.enter(asked(**fields))
    assert isinstance(entry, Entered), entry
    return entry


async def held(gates: Gates, **fields: Any) -> PutBack:
    with pytest.raises(PutBack) as caught:
        await gates.enter(asked(**fields))
    return caught.value


async def fail(gates: Gates, times: int = LEAST_FAILURES, outcome: Any = GONE, **fields: Any) -> None:
    for _ in range(times):
        await gates.leave(await entered(gates, **fields), outcome)


async def facts(platform: Platform, breaker: StreamRef = BREAKER) -> list[str]:
    return [type(fact).__name__ for fact in await platform.history(breaker)]


# --- the breaker ------------------------------------------------------------------------------------------------------


async def test_calls_that_find_nobody_open_the_breaker_and_the_next_ones_wait_until_it_may_be_tried() -> None:
    platform = Platform(Books().keyed())
    gates = platform.main.gates("w1")
    async with running(gates.run()):
        await fail(gates, LEAST_FAILURES - 1)
        assert await facts(platform) == []
        await fail(gates, 1)
        assert await facts(platform) == ["BreakerOpened"]
        waits = await held(gates)
        assert (waits.held_for, waits.subject) == ("outage", "bills")
        assert b.COOLING_S - 1 < waits.wait_s < b.COOLING_S + 1


@pytest.mark.parametrize("error_class", ["permanent", "validation", "rate_limited", "permission", "policy"])
async def test_whatever_is_an_answer_opens_nothing(error_class: e.ErrorClass) -> None:
    platform = Platform(Books().keyed())
    gates = platform.main.gates("w1")
    async with running(gates.run()):
        await fail(gates, 50, CallErred(error_class=error_class, code="no", message=""))
        assert await facts(platform) == []


async def test_another_process_hears_of_it_and_one_probe_closes_it_for_all() -> None:
    platform = Platform(Books().keyed())
    one, other = platform.main.gates("w1"), platform.main.gates("w2")
    async with running(one.run(), other.run()):
        await other.leave(await entered(other), FINE)
        await fail(one)
        await _until(platform, other, b.Open)
        await held(other)
        platform.steady.forward(b.COOLING_S)
        probe = await entered(one)
        await _until(platform, other, b.HalfOpen)
        assert (await held(other)).wait_s < 2
        await one.leave(probe, FINE)
        await _until(platform, other, b.Closed)
        await other.leave(await entered(other), FINE)
    assert await facts(platform) == ["BreakerOpened", "BreakerProbing", "BreakerClosed"]


async def test_of_ten_that_may_probe_one_does() -> None:
    platform = Platform(Books().keyed())
    rivals = [platform.main.gates(f"w{number}") for number in range(10)]
    async with running(*(rival.run() for rival in rivals)):
        await fail(rivals[0])
        for rival in rivals:
            await held(rival)
        platform.steady.forward(b.COOLING_S)
        answers = await asyncio.gather(*(rival.enter(asked()) for rival in rivals), return_exceptions=True)
    assert sum(isinstance(answer, Entered) for answer in answers) == 1
    assert sum(isinstance(answer, PutBack) for answer in answers) == 9
    assert (await facts(platform)).count("BreakerProbing") == 1


async def test_a_probe_that_fails_makes_all_wait_for_longer() -> None:
    platform = Platform(Books().keyed())
    gates = platform.main.gates("w1")
    async with running(gates.run()):
        await fail(gates)
        platform.steady.forward(b.COOLING_S)
        await gates.leave(await entered(gates), GONE)
        assert 2 * b.COOLING_S - 1 < (await held(gates)).wait_s < 2 * b.COOLING_S + 1


async def test_a_probe_whose_worker_died_gives_way_to_another() -> None:
    platform = Platform(Books().keyed())
    dead, alive = platform.main.gates("w1"), platform.main.gates("w2")
    async with running(dead.run(), alive.run()):
        await fail(dead)
        platform.steady.forward(b.COOLING_S)
        await entered(dead, timeout_s=2.0)
        await held(alive)
        platform.steady.forward(30)
        assert (await entered(alive)).probe == 2


async def test_what_fails_for_one_tenant_environment_or_connection_says_nothing_of_another() -> None:
    platform = Platform(Books().keyed())
    gates = platform.main.gates("w1")
    async with running(gates.run()):
        await fail(gates, connection="main")
        await held(gates, connection="main")
        await entered(gates, connection="other")
        await entered(gates, connection="main", environment_id=EnvironmentId("env_other"))
        await entered(gates, connection="main", tenant_id=TenantId("tnt_other"))


async def test_a_reset_by_a_person_is_heard_of_everywhere() -> None:
    platform = Platform(Books().keyed())
    gates = platform.main.gates("w1")
    async with running(gates.run()):
        await fail(gates)
        await held(gates)
        await platform.handle(BREAKER, b.ResetBreaker(reason="mended", now=platform.clock.now()))
        await _until(platform, gates, b.Closed)
        await entered(gates)


async def test_a_process_that_starts_later_finds_the_breaker_as_it_stands() -> None:
    platform = Platform(Books().keyed())
    first = platform.main.gates("w1")
    async with running(first.run()):
        await fail(first)
    late = platform.main.gates("w2")
    async with running(late.run()):
        assert (await held(late)).held_for == "outage"


# --- what a call is given instead -------------------------------------------------------------------------------------


async def test_a_call_that_is_to_fail_fails_at_once_and_tries_when_it_may() -> None:
    platform = Platform(Books().keyed())
    gates = platform.main.gates("w1")
    async with running(gates.run()):
        await fail(gates)
        said = await gates.enter(asked(on_outage="fail"))
        assert isinstance(said, Instead)
        assert isinstance(said.outcome, CallErred)
        assert (said.outcome.error_class, said.outcome.code) == ("outage", "breaker_open")
        platform.steady.forward(b.COOLING_S)
        assert (await entered(gates, on_outage="fail")).probe == 1


async def test_a_read_that_may_be_stale_is_given_the_last_result_and_waits_where_there_is_none() -> None:
    last = CallSucceeded(output={"n": 1})
    platform = Platform(Books().keyed())
    gates = platform.main.gates("w1")
    async with running(gates.run()):
        await fail(gates)
        assert await gates.enter(asked(on_outage="cached", last=last)) == Instead(last)
        await held(gates, on_outage="cached")
        await held(gates, last=last)


async def test_a_write_that_waits_for_reads_leaves_them_the_probe() -> None:
    platform = Platform(Books().keyed())
    gates = platform.main.gates("w1")
    async with running(gates.run()):
        await fail(gates)
        platform.steady.forward(b.COOLING_S)
        await held(gates, on_outage="read_only")
        assert (await entered(gates, on_outage="read_only", effect=Effect.READ)).probe == 1


async def test_a_write_probes_itself_when_no_read_has_come() -> None:
    platform = Platform(Books().keyed())
    gates = platform.main.gates("w1")
    async with running(gates.run()):
        await fail(gates)
        platform.steady.forward(2 * b.COOLING_S)
        assert (await entered(gates, on_outage="read_only")).probe == 1


# --- limits -----------------------------------------------------------------------------------------------------------


async def test_limits_of_tool_and_connector_make_the_next_call_wait() -> None:
    for limited in (Books().keyed(calls_per_minute=2), Books().keyed(max_concurrent=2)):
        gates = Platform(limited).main.gates("w1")
        async with running(gates.run()):
            for _ in range(2):
                await entered(gates)
            waits = await held(gates)
            assert waits.subject == "tool bills.pay"
            assert waits.held_for == ("rate" if limited.calls_per_minute else "concurrency")


async def test_a_call_that_ends_makes_room_for_the_next() -> None:
    gates = Platform(Books().keyed(max_concurrent=1)).main.gates("w1")
    async with running(gates.run()):
        for _ in range(3):
            await gates.leave(await entered(gates), FINE)


async def test_a_rival_that_comes_too_late_for_the_probe_takes_no_place_with_it() -> None:
    platform = Platform(Books().keyed(max_concurrent=1))
    one, other = platform.main.gates("w1"), platform.main.gates("w2")
    async with running(one.run(), other.run()):
        await fail(one)
        await held(other)
        platform.steady.forward(b.COOLING_S)
        answers = await asyncio.gather(one.enter(asked()), other.enter(asked()), return_exceptions=True)
        (probe,) = [answer for answer in answers if isinstance(answer, Entered)]
        await one.leave(probe, FINE)
        await _until(platform, other, b.Closed)
        await entered(other)


# --- in the worker ----------------------------------------------------------------------------------------------------


async def test_a_held_call_is_on_the_timeline_once_and_uses_up_no_attempt() -> None:
    books = Books()
    async with Platform(books.keyed(calls_per_minute=1)).at_work() as platform:
        await platform.until(await platform.start(), ended)
        run = await platform.start()
        state = await platform.until(run, lambda state: any(call.held for call in state.calls.values()))
    (call,) = state.calls.values()
    assert (call.phase, call.attempt) == ("dispatched", 1)
    assert (call.held.held_for, call.held.subject, call.held.untouched) == ("rate", "tool bills.pay", True)
    assert call.held.until > platform.clock.now()
    assert books.total == 1


async def test_a_short_wait_is_not_on_the_timeline() -> None:
    books = Books()
    released = asyncio.Event()
    books.during = lambda _: released.wait()
    async with Platform(books.keyed(max_concurrent=1)).at_work() as platform:
        runs = [await platform.start() for _ in range(2)]
        await books.called.wait()
        released.set()
        for run in runs:
            await platform.until(run, ended)
            assert "ToolCallHeld" not in [type(fact).__name__ for fact in await platform.history(run)]
    assert books.total == 2


async def test_a_call_that_waits_holds_no_place_of_the_worker() -> None:
    books = Books()
    reading = books.reading(name="bills.look")
    look: Plain = {**PAYING, "call": "bills.look"}
    platform = Platform(
        books.keyed(calls_per_minute=1),
        reading,
        input={"type": "object"},
        steps=[
            {"id": "which", "if": "${ input.look }", "then": [look], "else": [{**PAYING, "id": "other"}]},
        ],
    )
    async with platform.at_work(max_in_flight=1):
        for _ in range(3):
            await platform.start({"look": False})
        last = await platform.start({"look": True})
        assert (await platform.until(last, ended)).outcome == "completed"


async def test_a_step_that_is_to_fail_on_an_outage_fails_without_another_attempt() -> None:
    books = Books()
    books.during = _busy
    step: Plain = {**PAYING, "retry": {"attempts": 1}, "on_outage": "fail"}
    async with Platform(books.keyed(), steps=[step]).at_work() as platform:
        states = [await platform.until(await platform.start(), ended) for _ in range(LEAST_FAILURES + 1)]
    assert [state.ending.code for state in states] == ["TryLater"] * LEAST_FAILURES + ["breaker_open"]
    assert len(books.requests) == LEAST_FAILURES


async def test_a_held_write_is_marked_before_it_is_made() -> None:
    books = Books()
    started = asyncio.Event()
    books.during = lambda _: started.wait()
    async with Platform(books.keyed(max_concurrent=1), lease_s=60.0).at_work() as platform:
        runs = [await platform.start() for _ in range(2)]
        await books.called.wait()
        held_run = await _held_of(platform, runs)
        started.set()
        await platform.until(held_run, ended)
        said = [type(fact).__name__ for fact in await platform.history(held_run)]
    assert said.index("ToolCallHeld") < said.index("ToolCallStarted") < said.index("ToolCallCompleted")


async def _held_of(platform: Platform, runs: list[StreamRef]) -> StreamRef:
    async with platform.log.follow(Sequence(0), ("run",)) as batches:
        async for _ in batches:
            for run in runs:
                if any(isinstance(fact, e.ToolCallHeld) for fact in await platform.history(run)):
                    return run
    raise AssertionError("a log is followed without end")


@pytest.mark.parametrize(("untouched", "said"), [(True, "denied"), (False, "unknown")])
async def test_a_permission_taken_away_from_a_held_write_denies_it_where_nobody_can_have_begun_it(
    untouched: bool, said: str
) -> None:
    books = Books()
    platform = Platform(books.keyed(), lease_s=0.02)
    await platform.prepare()
    run = await platform.start()
    (call,) = (await platform.main.handler.load(run)).state.calls.values()
    call_id = call.request.call_id
    until, now = platform.clock.now(), platform.clock.now()
    hold = HoldCall(call_id=call_id, attempt=1, held_for="rate", subject="x", until=until, untouched=untouched, now=now)
    await platform.handle(run, hold)
    await platform.tell_tenant(DisablePrincipal(principal_id=AGENT, reason="left", by=BY_OWNER, now=T0))
    async with platform.jobs.take("tool", 1) as orders:
        await anext(orders)  # somebody had it, and left it to its lease
    async with running(platform.main.worker().run()):
        await platform.until(run, lambda state: ended(state) or the_call(state).phase == "unknown")
    types = [type(fact).__name__ for fact in await platform.history(run)]
    assert ("ToolCallDenied" if said == "denied" else "ToolCallOutcomeUnknown") in types


async def _busy(_: Any) -> None:
    raise TryLater("busy")


async def _until(platform: Platform, gates: Gates, kind: type) -> None:
    """The process of these gates has heard that the breaker stands so."""
    async with asyncio.timeout(5):
        while True:
            standing = gates._board.at_hand(BREAKER)  # there is no other sign that it has heard
            if standing is not None and isinstance(standing.state, kind):
                return
            await asyncio.sleep(0.005)
