"""Rules that count across runs, while many runs race in two processes; and rules over what a run has done before."""

import asyncio
from typing import Any

from fairlead.domain.envelope import StreamRef
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import events as e
from fairlead.domain.runs.states import Active
from fairlead.domain.tallies import Tally
from tests.support.books import Books
from tests.support.documents import Plain
from tests.support.platform import Platform, Process, ended, running, the_call
from tests.support.tenancy import TENANT

RACERS = 14
TWO: Plain = {
    "id": "two-a-day",
    "verdict": "deny",
    "tools": ["bills.pay"],
    "at_most": {"count": 2, "per": "args.number", "period": "day"},
}
SIGNED: Plain = {"id": "sign", "verdict": "require_approval", "tools": ["bills.pay"]}


async def places(platform: Platform, run: StreamRef) -> list[str]:
    """The calls that hold one where this run's call was counted."""
    judged = [fact for fact in await platform.history(run) if isinstance(fact, e.ToolCallJudged)]
    (tally,) = {tally for fact in judged for tally in fact.places.values()}
    state: Tally = (await platform.main.handler.load(StreamRef(TENANT, "tally", tally))).state
    return list(state.holders)


async def started_by(process: Process, platform: Platform) -> StreamRef:
    """A run that this process decides about."""
    mine, platform.main = platform.main, process
    try:
        return await platform.start()
    finally:
        platform.main = mine


async def test_runs_that_race_in_two_processes_never_both_take_the_last_place() -> None:
    books = Books()
    platform = Platform(books.keyed())
    await platform.prepare()
    await platform.enforce(TWO)
    other = Process(platform, platform.tools)
    async with running(platform.main.worker("w1").run(), other.worker("w2").run()):
        runs = await asyncio.gather(
            *(started_by((platform.main, other)[number % 2], platform) for number in range(RACERS))
        )
        states = [await platform.until(run, ended) for run in runs]
    assert books.total == 2
    assert sorted(state.outcome for state in states) == ["completed"] * 2 + ["failed"] * (RACERS - 2)
    assert {state.ending.code for state in states if state.outcome == "failed"} == {"denied_by_policy"}
    assert len(await places(platform, runs[0])) == 2


async def test_another_key_and_the_next_day_have_places_of_their_own() -> None:
    books = Books()
    steps = [{"id": "pay", "call": "bills.pay", "with": {"number": "${input.number}", "amount": 5}}]
    platform = Platform(books.keyed(), steps=steps)
    await platform.prepare()
    await platform.enforce(TWO | {"at_most": {"count": 1, "per": "args.number"}})
    async with running(platform.main.worker().run()):
        for number in ("1", "1", "2"):
            await platform.until(await platform.start({"number": number}), ended)
        assert books.total == 2


async def test_a_call_that_people_refuse_gives_its_place_to_the_next() -> None:
    books = Books()
    platform = Platform(books.keyed())
    await platform.prepare()
    await platform.enforce(TWO | {"at_most": {"count": 1}}, SIGNED)
    async with running(platform.main.worker().run(), platform.carry_approvals()):
        first = await platform.start()
        await platform.approval_of(first)
        second = await platform.until(await platform.start(), ended)
        assert second.ending.code == "denied_by_policy"
        cancelled = c.CancelRun(reason="not needed", now=platform.clock.now())
        await platform.handle(first, cancelled)
        tally = await the_tally(platform, first)
        await platform.until(tally, lambda state: not state.holders)
        third = await platform.start()
        await platform.sign(await platform.approval_of(third))
        assert (await platform.until(third, ended)).outcome == "completed"
    assert books.total == 1


def asked(state: Any) -> bool:
    return isinstance(state, Active) and any(call.approval is not None for call in state.calls.values())


async def the_tally(platform: Platform, run: StreamRef) -> StreamRef:
    uncounted = next(fact for fact in await platform.history(run) if isinstance(fact, e.ToolCallUncounted))
    return StreamRef(TENANT, "tally", uncounted.tallies[0])


async def test_a_limit_that_is_lowered_before_the_effect_stops_what_is_beyond_it() -> None:
    books = Books()
    platform = Platform(books.keyed())
    await platform.prepare()
    await platform.enforce(TWO)
    runs = [await platform.start() for _ in range(2)]
    await platform.enforce(TWO | {"at_most": {"count": 0, "per": "args.number", "period": "day"}})
    async with running(platform.main.worker().run()):
        states = [await platform.until(run, ended) for run in runs]
    assert {state.ending.code for state in states} == {"denied_by_policy"}
    assert books.total == 0


async def test_after_a_read_no_write_goes_out_without_a_person() -> None:
    books = Books()
    reading = books.reading(name="bills.look")
    steps = [
        {"id": "early", "call": "bills.pay", "with": {"number": "1", "amount": 1}},
        {"id": "look", "call": "bills.look", "with": {"number": "1", "amount": 1}},
        {"id": "late", "call": "bills.pay", "with": {"number": "2", "amount": 1}},
    ]
    platform = Platform(books.keyed(), reading, steps=steps)
    await platform.prepare()
    await platform.enforce(SIGNED | {"after": {"tools": ["bills.look"]}})
    run = await platform.start()
    async with running(platform.main.worker().run()):
        state = await platform.until(run, asked)
    assert the_call(state).request.step == "late"
    assert the_call(state).rule_id == "tenant:sign"


async def test_what_one_run_of_a_session_read_another_may_not_send() -> None:
    books = Books()
    reading = books.reading(name="bills.look")
    steps = [{"id": "one", "call": "bills.look", "with": {"number": "1", "amount": 1}}]
    platform = Platform(books.keyed(), reading, steps=steps)
    await platform.prepare()
    await platform.enforce({"id": "apart", "verdict": "deny", "effects": ["read"], "after": {"within": "tenant"}})
    async with running(platform.main.worker().run()):
        first = await platform.until(await platform.start(), ended)
        second = await platform.until(await platform.start(), ended)
    assert (first.outcome, second.ending.code) == ("completed", "denied_by_policy")
