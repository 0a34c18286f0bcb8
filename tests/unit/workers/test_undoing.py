"""A worker undoes what a run did that did not complete, once each, and the other way round."""

import asyncio
from datetime import timedelta
from typing import Any

from fairlead_sdk.contract import Tool
from fairlead_sdk.errors import Refused, TryLater
from fairlead_tenants.ids import PrincipalId

from fairlead.domain.runs import commands as c
from fairlead.domain.runs import events as e
from fairlead.domain.runs.states import Ended
from fairlead.domain.runs.undoing import CompensationStatus
from fairlead.domain.tenants.commands import DisablePrincipal
from fairlead.workers.run_watch import SOON
from tests.support.books import Books
from tests.support.clock import T0
from tests.support.connectors import Bill, tool
from tests.support.documents import Plain
from tests.support.platform import AGENT, FREELY, PAYING, Platform, running
from tests.support.runs import kinds
from tests.support.tenancy import BY_OWNER
from tests.unit.workers.test_run_watch import Quiet, watch


async def _refuse(arguments: Any, call: Any) -> Any:
    raise Refused("closed", "closed")


CLOSING = tool("bills.close", run=_refuse)
ENDING: Plain = {"id": "close", "call": "bills.close", "with": {"number": "1", "amount": 1}}


def paying(step: str, amount: int) -> Plain:
    return {**PAYING, "id": step, "with": {"number": step, "amount": amount}}


def platform_of(books: Books, *more: Tool[Any, Any], **fields: Any) -> Platform:
    steps = [paying("one", 1), paying("two", 2), ENDING]
    pay = books.keyed(compensate=books.refund, **fields)
    return Platform(pay, CLOSING, *more, policy=FREELY, steps=steps)


def undoing(status: CompensationStatus) -> Any:
    return lambda state: isinstance(state, Ended) and state.undoing.status == status


def is_backing_off(state: Any) -> bool:
    head = state.undoing.head if isinstance(state, Ended) else None
    return head is not None and head.phase == "backing_off"


async def test_both_writes_of_a_failed_run_are_undone_newest_first_each_under_a_key_of_its_own() -> None:
    books = Books()
    async with platform_of(books).at_work() as platform:
        run = await platform.start()
        state = await platform.until(run, undoing("done"))
    assert state.outcome == "failed"
    two, one = Bill(number="two", amount=2), Bill(number="one", amount=1)
    assert [(bill, output) for bill, output, _ in books.undone] == [(two, two), (one, one)]
    paid = [call.idempotency_key for call in books.requests]
    assert [call.idempotency_key for _, _, call in books.undone] == [f"{key}-undo" for key in reversed(paid)]


async def test_a_worker_that_dies_between_undoing_and_its_record_is_replaced_and_nothing_is_undone_twice() -> None:
    books, forever, undone = Books(), asyncio.Event(), asyncio.Event()

    async def stuck(_: Any) -> None:
        undone.set()
        await forever.wait()

    books.while_undoing = stuck
    platform = platform_of(books)
    await platform.prepare()
    run = await platform.start()
    async with running(platform.main.worker("w1").run()):
        await undone.wait()
    books.while_undoing = None
    assert len(books.undone) == 1
    async with running(platform.main.worker("w2").run()):
        await platform.until(run, undoing("done"))
    assert [bill.number for bill, _, _ in books.undone] == ["two", "one"]


async def test_an_order_to_undo_that_is_lost_is_made_again() -> None:
    books = Books()
    platform = platform_of(books, verify=books.paid)
    await platform.prepare()
    run = await platform.start()
    async with running(platform.main.worker().run()):
        await platform.until(run, lambda state: "two" in getattr(state, "open", {}))
    await platform.handle(run, c.CancelRun(reason="enough", now=T0))
    platform.jobs._lanes.clear()
    platform.jobs._there.clear()
    platform.timers._set.clear()
    quiet = Quiet(run)
    platform.clock.forward(timedelta(hours=1))
    await watch(platform, quiet).look()
    assert quiet.again[run.id] == platform.clock.now() + SOON
    async with running(platform.main.worker().run()):
        await platform.until(run, undoing("done"))


async def test_a_busy_counterpart_is_asked_again_and_an_unwilling_one_is_put_before_a_person() -> None:
    books = Books()
    answers = iter([TryLater("busy"), Refused("too late", "paid_out")])

    async def unwilling(_: Any) -> None:
        for answer in answers:
            raise answer

    books.while_undoing = unwilling
    async with platform_of(books).at_work() as platform:
        run = await platform.start()
        await platform.until(run, is_backing_off)
        platform.clock.forward(timedelta(minutes=5))
        platform.timers.ring()
        state = await platform.until(run, undoing("waiting_for_person"))
        answer = c.AnswerQuestion(
            question_id=state.undoing.head.question_id,
            answer={"decision": "leave", "reason": "small"},
            principal_id=PrincipalId("prn_ann"),
            role_names=(),
            now=T0,
        )
        await platform.handle(run, answer)
        await platform.until(run, undoing("incomplete"))


async def test_an_agent_that_was_disabled_undoes_nothing_and_a_person_is_asked() -> None:
    books = Books()
    platform = platform_of(books)

    async def disabled(arguments: Any, call: Any) -> Any:
        await platform.tell_tenant(DisablePrincipal(principal_id=AGENT, reason="left", by=BY_OWNER, now=T0))
        raise Refused("closed", "closed")

    platform = Platform(
        books.keyed(compensate=books.refund),
        tool("bills.close", run=disabled),
        steps=[paying("one", 1), ENDING],
    )
    async with platform.at_work():
        run = await platform.start()
        await platform.until(run, undoing("waiting_for_person"))
        (failed,) = [fact for fact in await platform.history(run) if isinstance(fact, e.CompensationFailed)]
    assert (failed.error_class, failed.code, books.undone) == ("permission", "agent.disabled", [])


async def cancelled_while_paying(books: Books, **fields: Any) -> tuple[Platform, Any]:
    """The effect has happened, the worker is gone, and the run is cancelled."""
    forever = asyncio.Event()

    async def stuck(_: Any) -> None:
        await forever.wait()

    books.during = stuck
    platform = platform_of(books, **fields)
    await platform.prepare()
    run = await platform.start()
    async with running(platform.main.worker("w1").run()):
        await books.called.wait()
    books.during = None
    await platform.handle(run, c.CancelRun(reason="enough", now=T0))
    platform.clock.forward(timedelta(hours=1))
    return platform, run


async def test_a_write_whose_answer_was_lost_is_looked_for_and_undone() -> None:
    books = Books()
    platform, run = await cancelled_while_paying(books, verify=books.paid)
    async with running(platform.main.worker("w2").run()):
        await watch(platform, Quiet(run)).look()
        await platform.until(run, undoing("done"))
    assert [bill.number for bill, _, _ in books.undone] == ["one"]
    assert len(books.requests) == 1


async def test_a_write_that_never_happened_is_looked_for_and_not_undone() -> None:
    books = Books()
    books.effect_first = False
    platform, run = await cancelled_while_paying(books, verify=books.paid)
    async with running(platform.main.worker("w2").run()):
        await watch(platform, Quiet(run)).look()
        await platform.until(run, undoing("done"))
    assert books.undone == []


async def test_a_write_that_nobody_can_look_for_is_put_before_a_person() -> None:
    books = Books()
    platform, run = await cancelled_while_paying(books)
    async with running(platform.main.worker("w2").run()):
        await watch(platform, Quiet(run)).look()
        state = await platform.until(run, undoing("waiting_for_person"))
    asked = state.last.questions[state.undoing.head.question_id]
    assert "not known whether it took effect" in asked.question
    assert books.undone == []


async def test_a_run_whose_tools_cannot_be_undone_writes_nothing_more_than_before() -> None:
    books = Books()
    platform = Platform(books.keyed(), CLOSING, steps=[paying("one", 1), ENDING])
    async with platform.at_work():
        run = await platform.start()
        await platform.until(run, lambda state: isinstance(state, Ended))
        assert kinds(await platform.history(run))[-1] == "RunFailed"
