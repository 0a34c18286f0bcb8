"""Independent calls of a run go out together where their tool allows it, and are one call each in every other respect.

Also that independent calls are under way at the same time at all.
"""

import asyncio
from collections import Counter
from typing import Any

import msgspec
import pytest
from fairlead_sdk.contract import Call, Effect, Idempotency, Tool
from fairlead_sdk.errors import Refused, TryLater
from msgspec.structs import replace

from fairlead.domain.envelope import StreamRef
from fairlead.domain.runs import events as e
from fairlead.domain.runs import obligations as o
from fairlead.workers.batching import Batches
from fairlead.workers.equipping import Braked
from tests.support.books import Books
from tests.support.connectors import Bill, tool
from tests.support.documents import Plain, parallel
from tests.support.platform import FREELY, PAYING, Platform, ended, running
from tests.support.tenancy import TENANT
from tests.unit.workers.test_braking import switch

A_CALL = Call(call_id="tcl_1", attempt=1, idempotency_key="k", settings={})
MANY = 6


def each(count: int = MANY, **call: Any) -> Plain:
    paying = PAYING | {"with": {"number": "${ string(item) }", "amount": 5}} | call
    items = f"${{ [{', '.join(map(str, range(count)))}] }}"
    return {"id": "all", "each": {"in": items, "max_items": count, "concurrency": count, "steps": [paying]}}


class Ledger(Books):
    """`refuses` by number; what `fails` is raised for the whole batch, once the effects have happened."""

    def __init__(self, honours_keys: bool = True) -> None:
        super().__init__(honours_keys)
        self.batches: list[list[Call]] = []
        self.refuses: dict[str, Exception] = {}
        self.fails: Any = None

    async def pay_many(self, arguments: list[Bill], calls: list[Call]) -> list[Any]:
        self.batches.append(calls)
        answers: list[Any] = []
        for asked, call in zip(arguments, calls, strict=True):
            if (refused := self.refuses.get(asked.number)) is None:
                self._take_effect(call)
            answers.append(refused or asked)
        self.called.set()
        if self.fails is not None:
            await self.fails()
        return answers

    def together(self, most: int = 10, **more: Any) -> Tool[Any, Any]:
        return tool(**{"run": self.pay, "run_many": self.pay_many, "max_batch": most, **more})


async def finished(platform: Platform, run: StreamRef) -> Any:
    return await platform.until(run, ended)


async def of_kind(platform: Platform, run: StreamRef, kind: type[Any]) -> list[Any]:
    return [fact for fact in await platform.history(run) if isinstance(fact, kind)]


async def test_calls_of_a_step_go_out_together_each_under_its_own_key_and_on_its_own_record() -> None:
    books = Ledger()
    async with Platform(books.together(), steps=[each()], result={}).at_work() as platform:
        run = await platform.start()
        await finished(platform, run)
        requested = await of_kind(platform, run, e.ToolCallRequested)
        completed = await of_kind(platform, run, e.ToolCallCompleted)
    asked = {fact.call_id: fact.arguments for fact in requested}
    assert {fact.call_id: fact.output for fact in completed} == asked
    assert [len(batch) for batch in books.batches] == [MANY]
    assert set(map(_key, books.batches[0])) == set(asked) == set(books.effects)
    assert books.requests == [], "none was made alone"


async def test_a_batch_is_as_large_as_its_tool_allows() -> None:
    books = Ledger()
    async with Platform(books.together(most=2), steps=[each()], result={}).at_work() as platform:
        await finished(platform, await platform.start())
    assert max(map(len, books.batches)) == 2
    assert books.total == MANY


async def test_branches_go_out_together_and_runs_do_not() -> None:
    books = Ledger()
    branches = parallel("both", one=[PAYING | {"id": "a"}], two=[PAYING | {"id": "b"}])
    async with Platform(books.together(), steps=[branches]).at_work() as platform:
        for run in [await platform.start(), await platform.start()]:
            await finished(platform, run)
            ours = {fact.call_id for fact in await of_kind(platform, run, e.ToolCallCompleted)}
            assert all(set(map(_key, batch)) <= ours or not set(map(_key, batch)) & ours for batch in books.batches)
    assert [len(batch) for batch in books.batches] == [2, 2]


async def test_a_call_that_is_alone_is_made_alone_and_waits_for_nobody() -> None:
    books = Ledger()
    async with Platform(books.together(), steps=[PAYING, PAYING | {"id": "then"}]).at_work() as platform:
        await finished(platform, await platform.start())
    assert (len(books.requests), books.batches) == (2, [])


async def test_one_that_is_refused_fails_alone() -> None:
    books = Ledger()
    books.refuses["3"] = Refused("not this one", "unwanted")
    async with Platform(books.together(), steps=[each(**{"continue": True})], result={}).at_work() as platform:
        run = await platform.start()
        assert (await finished(platform, run)).outcome == "completed"
        (failed,) = await of_kind(platform, run, e.ToolCallFailed)
        assert len(await of_kind(platform, run, e.ToolCallCompleted)) == MANY - 1
    assert (failed.code, failed.error_class, books.total) == ("unwanted", "permanent", MANY - 1)


async def test_one_that_is_denied_is_in_no_batch() -> None:
    deny = {"id": "no", "verdict": "deny", "reason": "test", "when": "args.number == '3'"}
    books = Ledger()
    fields: Plain = {"policy": {"rules": [deny, *FREELY["rules"]]}, "result": {}}
    async with Platform(books.together(), steps=[each(**{"continue": True})], **fields).at_work() as platform:
        run = await platform.start()
        await finished(platform, run)
        (denied,) = await of_kind(platform, run, e.ToolCallDenied)
    assert denied.call_id not in {call.call_id for batch in books.batches for call in batch}
    assert books.total == MANY - 1


async def test_one_without_the_right_to_it_is_in_no_batch() -> None:
    books = Ledger()
    platform = Platform(books.together(), steps=[each(3)], result={})
    await platform.prepare()
    run = await platform.start()
    state = (await platform.main.handler.load(run)).state
    platform.jobs._lanes.clear()
    platform.jobs._there.clear()
    orders = [owed for owed in o.outstanding(TENANT, state) if isinstance(owed, o.CallOrder)]
    for order in orders:
        right = await platform.main.capabilities.entitled(run, order, state)
        sent = replace(right, capability=None) if order is orders[1] else right
        await platform.jobs.publish("tool", TENANT, order.call_id, msgspec.json.encode(sent))
    async with running(platform.main.worker().run()):
        await platform.until(run, lambda state: len(state.calls) == 1)
    assert orders[1].call_id not in {call.call_id for batch in books.batches for call in batch}
    assert books.total == 2


async def test_a_limit_counts_each_call_of_a_batch() -> None:
    books = Ledger()
    async with Platform(books.together(calls_per_minute=MANY - 2), steps=[each()], result={}).at_work() as platform:
        run = await platform.start()
        await platform.until(run, lambda state: any(call.held for call in state.calls.values()))
        state = (await platform.main.handler.load(run)).state
    assert len(state.calls) >= 2
    assert books.total <= MANY - 2


@pytest.mark.parametrize("fault", [OSError("?"), None])
async def test_a_batch_without_an_answer_that_may_not_be_repeated_is_read_back_call_by_call(
    fault: Exception | None,
) -> None:
    """An error that says nothing, and answers that are too few to know whose they are."""
    books = Ledger()

    async def fails() -> None:
        if fault is not None:
            raise fault
        books.batches[-1].pop()

    books.fails = fails
    paying = books.together(idempotency=Idempotency.NONE, verify=books.paid)
    many = paying.run_many
    assert many is not None, "as above"

    async def too_few(arguments: list[Bill], calls: list[Call]) -> list[Any]:
        return (await many(arguments, calls))[1:]

    paying = replace(paying, run_many=many if fault else too_few)
    async with Platform(paying, steps=[each()], result={}).at_work() as platform:
        run = await platform.start()
        await finished(platform, run)
        completed = await of_kind(platform, run, e.ToolCallCompleted)
    assert Counter(fact.settled for fact in completed) == {"read_back": MANY}
    assert set(books.effects.values()) == {1}


@pytest.mark.parametrize("idempotency", [Idempotency.KEY, Idempotency.NONE])
async def test_a_worker_that_dies_within_a_batch_leaves_each_call_to_the_rules_of_unknown_outcomes(
    idempotency: Idempotency,
) -> None:
    books, forever = Ledger(honours_keys=idempotency is Idempotency.KEY), asyncio.Event()
    books.fails = forever.wait
    paying = books.together(idempotency=idempotency, verify=books.paid, timeout_s=0.02 if not books.honours_keys else 5)
    platform = Platform(paying, steps=[each()], result={})
    await platform.prepare()
    run = await platform.start()
    async with running(platform.main.worker("w1").run()):
        await books.called.wait()
    books.fails, lost = None, books.total
    assert lost > 1
    async with running(platform.main.worker("w2").run()):
        assert (await finished(platform, run)).outcome == "completed"
    assert set(books.effects.values()) == {1}
    assert len(books.effects) == MANY


async def test_a_switch_that_is_set_while_a_call_waits_for_others_stops_it() -> None:
    books = Ledger()
    platform = Platform(books.together(idempotency=Idempotency.NONE, verify=books.paid), steps=[each(2)], result={})
    await platform.prepare()
    run = await platform.start()
    state = (await platform.main.handler.load(run)).state
    platform.jobs._lanes.clear()
    platform.jobs._there.clear()
    order = next(owed for owed in o.outstanding(TENANT, state) if isinstance(owed, o.CallOrder))
    entitled = await platform.main.capabilities.entitled(run, order, state)
    await platform.jobs.publish("tool", TENANT, "only", msgspec.json.encode(entitled))
    async with running(platform.main.worker().run()):
        await platform.until(run, lambda state: state.calls[order.call_id].phase == "started")
        await switch(platform, "pause_runs")
        await platform.until(run, lambda state: state.calls[order.call_id].phase == "dispatched")
    assert (books.batches, books.requests) == ([], [])


# --- by itself --------------------------------------------------------------------------------------------------------


def nothing_stops() -> None:
    """No switch is set."""


async def double(arguments: list[Any], _: list[Call]) -> list[Any]:
    return [2 * each for each in arguments]


async def test_a_full_batch_does_not_wait() -> None:
    batches = Batches(gather_s=3_600)
    assert await asyncio.gather(
        *(batches.ask("k", double, 2, nothing_stops, number, A_CALL) for number in range(4))
    ) == [0, 2, 4, 6]


async def test_what_stops_a_call_while_it_waits_for_others_stops_it_alone() -> None:
    batches, seen = Batches(gather_s=3_600), list[list[int]]()

    async def note(arguments: list[int], _: list[Call]) -> list[int]:
        seen.append(arguments)
        return arguments

    def stops() -> None:
        raise Braked("a switch")

    stopped = asyncio.create_task(batches.ask("k", note, 2, stops, 0, A_CALL))
    assert await batches.ask("k", note, 2, nothing_stops, 1, A_CALL) == 1
    with pytest.raises(Braked):
        await stopped
    assert seen == [[1]]


async def test_one_that_gave_up_is_not_asked_about_and_the_others_are() -> None:
    batches, seen = Batches(gather_s=0.01), list[list[int]]()

    async def note(arguments: list[int], _: list[Call]) -> list[int]:
        seen.append(arguments)
        return arguments

    asking = [asyncio.create_task(batches.ask("k", note, 9, nothing_stops, number, A_CALL)) for number in range(3)]
    await asyncio.sleep(0)
    asking[1].cancel()
    await asyncio.wait(asking)
    assert [task.cancelled() or task.result() for task in asking] == [0, True, 2]
    assert seen == [[0, 2]]


async def test_when_nobody_waits_any_more_the_batch_is_given_up() -> None:
    batches, began, ended_ = Batches(gather_s=3_600), asyncio.Event(), asyncio.Event()

    async def endless(_: list[Any], __: list[Call]) -> list[Any]:
        began.set()
        try:
            return await asyncio.Event().wait()  # type: ignore[return-value]  # never
        finally:
            ended_.set()

    asking = [asyncio.create_task(batches.ask("k", endless, 2, nothing_stops, number, A_CALL)) for number in range(2)]
    await began.wait()
    asking[0].cancel()
    await asyncio.wait(asking[:1])
    assert not ended_.is_set()
    asking[1].cancel()
    await ended_.wait()


@pytest.mark.parametrize("error", [TryLater("x"), SystemExit(), StopIteration(), KeyError()])
async def test_whatever_is_raised_or_answered_is_told_to_whom_it_concerns(error: BaseException) -> None:
    batches = Batches(gather_s=3_600)

    async def answers(arguments: list[Any], _: list[Call]) -> list[Any]:
        return [error, *arguments[1:]]

    first, second = await asyncio.gather(
        *(batches.ask("k", answers, 2, nothing_stops, number, A_CALL) for number in range(2)), return_exceptions=True
    )
    assert isinstance(first, RuntimeError if isinstance(error, StopIteration | SystemExit) else type(error))
    assert second == 1


# --- side by side -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("effect", [Effect.READ, Effect.WRITE])
async def test_independent_calls_are_under_way_at_the_same_time(workers: int, effect: Effect) -> None:
    """The counterpart answers nobody before it was asked by both: one after the other would never end."""
    books, both = Books(), asyncio.Barrier(2)

    async def together(_: Call) -> None:
        await both.wait()

    books.during = together
    branches = parallel("both", one=[PAYING | {"id": "a"}], two=[PAYING | {"id": "b"}])
    async with Platform(books.keyed(effect=effect), steps=[branches]).at_work(workers=workers) as platform:
        run = await platform.start()
        assert (await finished(platform, run)).outcome == "completed"
        assert len(await of_kind(platform, run, e.ToolCallFailed)) == 0
    assert len(books.requests) == 2


def _key(call: Call) -> str:
    return call.idempotency_key
