"""A worker goes on by itself with the call that follows from an outcome it has recorded."""

import asyncio
from typing import Any

import pytest
from fairlead_sdk.contract import Tool

from fairlead.adapters.memory_jobs import MemoryJobs
from fairlead.domain.envelope import StreamRef
from fairlead.domain.runs import events as e
from fairlead.domain.runs.obligations import outstanding
from fairlead.domain.runs.states import Active
from fairlead.domain.tenants.commands import DisablePrincipal
from tests.support.books import Books
from tests.support.clock import T0
from tests.support.documents import Plain, parallel
from tests.support.platform import AGENT, PAYING, Platform, Process, ended, running
from tests.support.tenancy import BY_OWNER, TENANT

THREE: list[Plain] = [PAYING | {"id": f"pay{number}"} for number in range(3)]


class CountedJobs(MemoryJobs):
    """`published` are the orders that went through a lane."""

    def __init__(self) -> None:
        super().__init__(lease_s=30)
        self.published: list[str] = []

    async def publish(self, lane: str, tenant_id: str, order_id: str, body: bytes) -> None:
        self.published.append(order_id)
        await super().publish(lane, tenant_id, order_id, body)


async def platform_with(*tools: Tool[Any, Any], **fields: Any) -> tuple[Platform, CountedJobs]:
    """Prepared, with one process that starts runs and none that works yet."""
    platform, jobs = Platform(*tools, **fields), CountedJobs()
    platform.jobs = jobs
    platform.main = Process(platform, tools)
    await platform.prepare()
    return platform, jobs


def a_process(platform: Platform) -> Process:
    """Another process than the one that starts runs."""
    return Process(platform, platform.tools)


async def work_through(platform: Platform, run: StreamRef, **options: Any) -> Any:
    async with running(a_process(platform).worker(**options).run()):
        return await platform.until(run, ended)


async def test_only_the_first_call_of_a_run_goes_through_the_lane() -> None:
    books = Books()
    platform, jobs = await platform_with(books.keyed(), steps=THREE)
    state = await work_through(platform, await platform.start())
    assert isinstance(state.ending, e.RunCompleted)
    assert (books.total, len(jobs.published)) == (3, 1)


@pytest.mark.parametrize(
    "tool", [Books().unkeyed(timeout_s=1.0), Books().keyed(timeout_s=5.1)], ids=["unrepeatable", "slow"]
)
async def test_a_call_that_needs_its_lease_goes_through_the_lane(tool: Tool[Any, Any]) -> None:
    platform, jobs = await platform_with(tool, steps=THREE)
    await work_through(platform, await platform.start())
    assert len(jobs.published) == 3


async def test_calls_side_by_side_are_spread_over_the_lane() -> None:
    books = Books()
    one, two, three = ([PAYING | {"id": f"side{number}"}] for number in range(3))
    sides = parallel("all", one=one, two=two, three=three)
    platform, jobs = await platform_with(books.keyed(), steps=[PAYING, sides])
    await work_through(platform, await platform.start())
    assert (books.total, len(jobs.published)) == (4, 4)


async def test_what_waits_in_the_lane_goes_before_what_could_be_kept() -> None:
    """A worker with one slot alternates between two runs instead of finishing the first."""
    books = Books()
    platform, jobs = await platform_with(books.keyed(), steps=THREE)
    runs = [await platform.start() for _ in range(2)]
    async with running(a_process(platform).worker(max_in_flight=1).run()):
        for run in runs:
            await platform.until(run, ended)
    assert len(jobs.published) == 6
    assert [call.call_id.partition("-")[0] for call in books.requests[:2]] == [
        "tcl_" + run.id.partition("_")[2] for run in runs
    ]


async def stopped_in_the_second_call(platform: Platform, books: Books) -> StreamRef:
    """A run whose worker was stopped after the effect of its second call and before the outcome was recorded."""

    async def never_returns(_: Any) -> None:
        if len(books.requests) == 2:
            second.set()
            await asyncio.Event().wait()

    books.during, second = never_returns, asyncio.Event()
    run = await platform.start()
    async with running(a_process(platform).worker().run()):
        await second.wait()
    return run


async def make_again(platform: Platform, run: StreamRef) -> None:
    """What the watch does once a run has been quiet for long enough."""
    state = (await platform.main.handler.load(run)).state
    await platform.main.dispatch.send(run, outstanding(TENANT, state), state)


async def test_a_call_kept_by_a_worker_that_died_is_made_again_under_its_key() -> None:
    books = Books()
    platform, _ = await platform_with(books.keyed(), steps=THREE)
    run = await stopped_in_the_second_call(platform, books)
    await make_again(platform, run)
    state = await work_through(platform, run)
    assert isinstance(state.ending, e.RunCompleted)
    assert (len(books.requests), books.total) == (4, 3)


async def test_a_kept_call_that_may_have_happened_is_never_said_to_be_denied() -> None:
    books = Books()
    platform, _ = await platform_with(books.keyed(), steps=THREE)
    run = await stopped_in_the_second_call(platform, books)
    await platform.tell_tenant(DisablePrincipal(principal_id=AGENT, reason="left", by=BY_OWNER, now=T0))
    await make_again(platform, run)
    async with running(a_process(platform).worker().run()):
        state = await platform.until(run, lambda state: isinstance(state, Active) and bool(state.questions))
    (question,) = state.questions.values()
    assert question.purpose == "outcome"
