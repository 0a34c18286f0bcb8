"""The way of a call, gate by gate: whatever refuses it says so by an event and a code that no other gate has."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from fairlead_sdk.contract import Effect
from fairlead_sdk.errors import OutcomeUnknown, Refused, TryLater

from fairlead.domain.budgets.events import AtCap
from fairlead.domain.envelope import Sequence, StreamRef
from fairlead.domain.runs import events as e
from fairlead.domain.tenants.commands import DisableConnector, DisablePrincipal
from tests.support.books import Books
from tests.support.clock import T0
from tests.support.documents import parallel
from tests.support.platform import AGENT, PAYING, Platform, running
from tests.support.tenancy import BY_OWNER
from tests.unit.workers.test_braking import switch
from tests.unit.workers.test_gates import fail
from tests.unit.workers.test_reconnecting import lost_access
from tests.unit.workers.test_spending import cap
from tests.unit.workers.test_verifying import OTHER, showing

Refusal = tuple[str, str]
Provoke = Callable[[Books], Awaitable[Refusal]]


def refusal_in(facts: list[Any]) -> Refusal | None:
    """The first fact that says that the call was not made, or not as it should have been: its tag, and its code."""
    for fact in facts:
        match fact:
            case e.ToolCallDenied(by=by, rule_id=rule_id):
                return _tag(fact), f"{by} {rule_id}"
            case e.ToolCallHeld(held_for=held_for):
                return _tag(fact), held_for
            case e.ToolCallFailed(code=code) | e.ToolCallConnectionAwaited(code=code):
                return _tag(fact), code
            case e.ToolCallVerified(verdict=verdict) if verdict != "matched":
                return _tag(fact), verdict
            case e.RunCapped(limit=limit):
                return _tag(fact), limit
            case e.RunExpired() | e.ToolCallOutcomeUnknown():
                return _tag(fact), ""
    return None


def _tag(fact: Any) -> str:
    return str(fact.__struct_config__.tag)


async def refused(platform: Platform, run: StreamRef) -> Refusal:
    async with asyncio.timeout(5), platform.log.follow(Sequence(0), ("run",)) as batches:
        async for _ in batches:
            if (found := refusal_in(await platform.history(run))) is not None:
                return found
    raise AssertionError("a log is followed without end")


async def queued(platform: Platform, *meanwhile: Any) -> Refusal:
    """The tenant changes its mind after a call was queued and before it is made."""
    await platform.prepare()
    run = await platform.start()
    for command in meanwhile:
        await platform.tell_tenant(command)
    async with running(platform.main.worker().run()):
        return await refused(platform, run)


async def at_once(platform: Platform) -> Refusal:
    async with platform.at_work():
        return await refused(platform, await platform.start())


async def no_right_any_more(books: Books) -> Refusal:
    platform = Platform(books.keyed())
    await platform.prepare()
    run = await platform.start()
    platform.clock.forward(timedelta(days=400))
    async with running(platform.main.worker().run()):
        return await refused(platform, run)


async def no_schema(books: Books) -> Refusal:
    return await at_once(Platform(books.keyed(), steps=[{**PAYING, "with": {"number": 4711, "amount": "five"}}]))


async def no_permission(books: Books) -> Refusal:
    gone = DisablePrincipal(principal_id=AGENT, reason="left", by=BY_OWNER, now=T0)
    return await queued(Platform(books.keyed()), gone)


async def no_connector(books: Books) -> Refusal:
    off = DisableConnector(connector="bills", reason="a hole", by=BY_OWNER, now=T0)
    return await queued(Platform(books.keyed()), off)


async def no_policy(books: Books) -> Refusal:
    return await at_once(Platform(books.keyed(effect=Effect.DESTRUCTIVE), policy={"rules": []}))


async def switched_off(books: Books) -> Refusal:
    platform = Platform(books.keyed())
    await platform.prepare()
    run = await platform.start()
    await switch(platform, "deny_all")
    async with running(platform.main.worker().run()):
        return await refused(platform, run)


async def used_up(books: Books) -> Refusal:
    twice = [PAYING, {**PAYING, "id": "again"}]
    return await at_once(Platform(books.keyed(), steps=twice, limits={"tool_calls": 1}))


async def over_budget(books: Books) -> Refusal:
    return await budgeted(books, "stop")


async def out_of_budget(books: Books) -> Refusal:
    return await budgeted(books, "ask")


async def budgeted(books: Books, at_cap: AtCap) -> Refusal:
    platform = Platform(books.keyed(cost_usd_micros=101))
    await platform.prepare()
    await cap(platform, at_cap=at_cap)
    run = await platform.start()
    async with running(platform.main.worker().run()):
        return await refused(platform, run)


async def too_often(books: Books) -> Refusal:
    twice = [PAYING, {**PAYING, "id": "again"}]
    return await at_once(Platform(books.keyed(calls_per_minute=1), steps=twice))


async def too_many_at_once(books: Books) -> Refusal:
    books.during = _for_ever
    return await at_once(
        Platform(books.keyed(max_concurrent=1), steps=[parallel("both", a=[PAYING], b=[{**PAYING, "id": "again"}])])
    )


async def nobody_there(books: Books) -> Refusal:
    platform = Platform(books.keyed())
    await platform.prepare()
    gates = platform.main.gates("w1")
    async with running(gates.run()):
        await fail(gates)
    run = await platform.start()
    async with running(platform.main.worker("w2").run()):
        return await refused(platform, run)


async def no_account(books: Books) -> Refusal:
    platform, _ = await lost_access(books)
    run = await platform.start()
    async with running(platform.main.worker().run()):
        return await refused(platform, run)


async def counterpart_refuses(books: Books) -> Refusal:
    books.during = _raising(Refused("the month is closed", "closed"))
    return await at_once(Platform(books.keyed()))


async def counterpart_is_busy(books: Books) -> Refusal:
    books.during = _raising(TryLater("slow down", "busy", retry_after_s=60))
    return await at_once(Platform(books.keyed()))


async def no_answer(books: Books) -> Refusal:
    books.during = _raising(OutcomeUnknown("it hung up"))
    return await at_once(Platform(books.unkeyed()))


async def no_output(books: Books) -> Refusal:
    books.answer = {"number": 4711}
    return await at_once(Platform(books.keyed()))


async def not_there(books: Books) -> Refusal:
    return await at_once(Platform(books.keyed(verify=showing(OTHER))))


async def _for_ever(_: Any) -> None:
    await asyncio.Event().wait()


def _raising(error: Exception) -> Any:
    async def during(_: Any) -> None:
        raise error

    return during


# In the order of the way. How often the counterpart may have been asked is the last column.
REFUSALS: tuple[tuple[Provoke, Refusal, int], ...] = (
    (no_right_any_more, ("run.expired.v1", ""), 0),
    (no_schema, ("tool_call.failed.v1", "bad_arguments"), 0),
    (no_permission, ("tool_call.denied.v1", "permission agent.disabled"), 0),
    (no_connector, ("tool_call.denied.v1", "permission connector.disabled"), 0),
    (no_policy, ("tool_call.denied.v1", "policy default.destructive"), 0),
    (switched_off, ("tool_call.denied.v1", "switch switch.deny_all"), 0),
    (used_up, ("run.capped.v1", "tool_calls"), 1),
    (over_budget, ("tool_call.denied.v1", "budget budget_tenant_usd_micros"), 0),
    (out_of_budget, ("tool_call.held.v1", "budget"), 0),
    (too_often, ("tool_call.held.v1", "rate"), 1),
    (too_many_at_once, ("tool_call.held.v1", "concurrency"), 1),
    (nobody_there, ("tool_call.held.v1", "outage"), 0),
    (no_account, ("tool_call.connection_awaited.v1", "reconnect_needed"), 0),
    (counterpart_refuses, ("tool_call.failed.v1", "closed"), 1),
    (counterpart_is_busy, ("tool_call.failed.v1", "busy"), 1),
    (no_answer, ("tool_call.outcome_unknown.v1", ""), 1),
    (no_output, ("tool_call.failed.v1", "bad_output"), 1),
    (not_there, ("tool_call.verified.v1", "drifted"), 1),
)


@pytest.mark.parametrize(
    ("provoke", "expected", "asked"), REFUSALS, ids=[provoke.__name__ for provoke, _, _ in REFUSALS]
)
async def test_each_gate_refuses_by_an_event_and_a_code_of_its_own(
    provoke: Provoke, expected: Refusal, asked: int
) -> None:
    books = Books()
    assert await provoke(books) == expected
    assert len(books.requests) == asked


def test_no_two_gates_refuse_alike() -> None:
    assert len({expected for _, expected, _ in REFUSALS}) == len(REFUSALS)
