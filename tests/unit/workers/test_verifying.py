"""A worker reads back what a call wrote, and only what stays different is a difference."""

import asyncio
from typing import Any

import pytest
from fairlead_sdk.errors import Refused, TryLater

from fairlead.domain.runs import events as e
from fairlead.domain.tenants.commands import DisablePrincipal
from fairlead.workers import verifying
from tests.support.books import Books
from tests.support.clock import T0
from tests.support.connectors import Bill
from tests.support.platform import AGENT, Platform, ended, running, the_call
from tests.support.runs import kinds
from tests.support.tenancy import BY_OWNER

PAID = Bill(number="4711", amount=5)
OTHER = Bill(number="4711", amount=6)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "PAUSES_S", (0.0, 0.0))


def showing(*answers: Any) -> Any:
    """A read-back that answers so, one after the other, and then as the last time."""
    left = list(answers)

    async def verify(arguments: Any, call: Any) -> Any:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return verify


async def verdict_of(*answers: Any) -> e.ToolCallVerified:
    async with Platform(Books().keyed(verify=showing(*answers))).at_work() as platform:
        run = await platform.start()
        await platform.until(run, lambda state: ended(state) or state.questions)
        (verified,) = [fact for fact in await platform.history(run) if isinstance(fact, e.ToolCallVerified)]
        return verified


async def test_a_write_that_is_there_as_the_tool_said_is_matched_and_the_run_goes_on() -> None:
    books = Books()
    async with Platform(books.keyed(verify=books.paid)).at_work() as platform:
        run = await platform.start()
        assert (await platform.until(run, ended)).outcome == "completed"
        history = await platform.history(run)
    assert kinds(history)[-3:] == ["ToolCallCompleted", "ToolCallVerified", "RunCompleted"]
    assert (books.total, history[-2].verdict) == (1, "matched")


async def test_a_write_that_is_not_read_back_costs_one_commit_less() -> None:
    commits = []
    for more in ({}, {"verify": showing(PAID)}):
        async with Platform(Books().keyed(**more)).at_work() as platform:
            run = await platform.start()
            await platform.until(run, ended)
            commits.append(len(await platform.log.read(run)))
    assert commits == [2, 3]


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ([OTHER], "drifted"),
        ([None], "drifted"),
        ([OTHER, PAID], "matched"),
        ([None, None, PAID], "matched"),
        ([TryLater("busy"), PAID], "matched"),
        ([TryLater("busy")], "unverifiable"),
        ([TimeoutError()], "unverifiable"),
        ([Refused("no"), OTHER], "drifted"),
        ([ValueError("broken")], "unverifiable"),
        ([object()], "unverifiable"),
    ],
)
async def test_what_is_read_back_has_a_verdict(answers: list[Any], verdict: str) -> None:
    assert (await verdict_of(*answers)).verdict == verdict


async def test_an_agent_that_was_disabled_after_its_write_reads_nothing_back() -> None:
    books, asked = Books(), asyncio.Event()

    async def verify(arguments: Any, call: Any) -> Any:
        asked.set()

    platform = Platform(books.keyed(verify=verify))
    await platform.prepare()
    run = await platform.start()

    async def disable(_: Any) -> None:
        await platform.tell_tenant(DisablePrincipal(principal_id=AGENT, reason="left", by=BY_OWNER, now=T0))

    books.during = disable
    async with running(platform.main.worker().run()):
        await platform.until(run, ended)
    (verified,) = [fact for fact in await platform.history(run) if isinstance(fact, e.ToolCallVerified)]
    assert (verified.verdict, asked.is_set()) == ("unverifiable", False)


async def test_a_worker_that_dies_while_it_reads_back_is_replaced_and_nothing_is_written_twice() -> None:
    books, reading, forever = Books(), asyncio.Event(), asyncio.Event()
    stuck = True

    async def verify(arguments: Any, call: Any) -> Any:
        reading.set()
        if stuck:
            await forever.wait()
        return arguments

    platform = Platform(books.keyed(verify=verify))
    await platform.prepare()
    run = await platform.start()
    async with running(platform.main.worker("w1").run()):
        await reading.wait()
    stuck = False
    assert the_call((await platform.main.handler.load(run)).state).phase == "verifying"
    async with running(platform.main.worker("w2").run()):
        assert (await platform.until(run, ended)).outcome == "completed"
    assert len(books.requests) == 1
