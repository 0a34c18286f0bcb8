"""Orders and alarms are hints: what is lost is made again from the run's state, and what is stale changes nothing."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from fairlead_sdk.errors import TryLater
from fairlead_tenants.ids import TenantId

from fairlead.adapters.memory_jobs import MemoryJobs
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Unavailable
from fairlead.domain.ids import RunId
from fairlead.domain.instant import Instant
from fairlead.domain.runs import commands as c
from fairlead.handling.dispatch import RunAlarm, timer_id
from fairlead.handling.reconnecting import AccessCheck
from fairlead.workers.alarm_worker import AlarmWorker
from fairlead.workers.run_watch import GRACE, LATE, SOON, RunWatch
from tests.support.books import Books
from tests.support.clock import T0
from tests.support.documents import ask
from tests.support.histories import Forgetful
from tests.support.platform import Platform, Process, ended, running
from tests.support.runs import kinds
from tests.support.tenancy import TENANT

WAITING = {"id": "w", "wait": {"seconds": 60}}
SIGNALLED = {"id": "s", "wait": {"signal": "go"}}


class Quiet:
    """The read model: which runs to look at, and when it was told to look again."""

    def __init__(self, *runs: StreamRef) -> None:
        self.runs = [(run.tenant_id, RunId(run.id)) for run in runs]
        self.again: dict[str, Instant] = {}

    async def due(self, now: Instant, limit: int) -> list[tuple[TenantId, RunId]]:
        return self.runs[:limit] if now >= T0 else []

    async def look_again(self, runs: Sequence[tuple[TenantId, RunId, Instant]]) -> None:
        self.again = {run_id: at for _, run_id, at in runs}


def watch(platform: Platform, quiet: Quiet) -> RunWatch:
    access = AccessCheck(platform.log, platform.main.handler, platform.clock)
    return RunWatch(quiet, platform.main.handler, platform.main.dispatch, access, platform.clock)


async def with_everything_lost(platform: Platform) -> StreamRef:
    """A run whose orders and alarms are gone with the engine that kept them."""
    await platform.prepare()
    run = await platform.start()
    platform.jobs._lanes.clear()
    platform.jobs._there.clear()
    platform.timers._set.clear()
    return run


async def test_a_lost_order_is_made_again() -> None:
    books = Books()
    platform = Platform(books.keyed())
    run = await with_everything_lost(platform)
    quiet = Quiet(run)
    assert await watch(platform, quiet).look() == 1
    async with running(platform.main.worker().run()):
        await platform.until(run, ended)
    assert books.total == 1
    assert quiet.again == {run.id: T0 + SOON}


async def test_a_lost_question_for_people_is_asked_and_asked_once() -> None:
    books = Books()
    platform = Platform(books.keyed(preview=books.shown), policy={"rules": []})
    run = await with_everything_lost(platform)
    quiet = Quiet(run)
    async with running(platform.main.worker().run()):
        await watch(platform, quiet).look()
        approval = await platform.approval_of(run)
        platform.jobs._there.clear()
        await watch(platform, quiet).look()
        await platform.sign(approval)
        async with running(platform.carry_approvals()):
            await platform.until(run, ended)
    assert kinds(await platform.history(approval)) == ["ApprovalRequested", "ApprovalSigned", "ApprovalGranted"]


async def test_a_lost_alarm_rings_through_the_watch_when_it_is_overdue() -> None:
    platform = Platform(Books().keyed(), steps=[WAITING], result={})
    run = await with_everything_lost(platform)
    quiet = Quiet(run)
    await watch(platform, quiet).look()
    assert quiet.again == {run.id: T0 + timedelta(seconds=60) + GRACE}
    platform.clock.forward(timedelta(seconds=60))
    await watch(platform, quiet).look()
    assert (await platform.until(run, ended)).outcome == "completed"


async def test_a_run_at_work_meets_its_deadline_even_if_its_worker_never_answers() -> None:
    platform = Platform(Books().keyed(), limits={"deadline_s": 60})
    run = await with_everything_lost(platform)
    platform.clock.forward(timedelta(seconds=60))
    await watch(platform, Quiet(run)).look()
    assert (await platform.until(run, ended)).outcome == "expired"


async def test_a_run_that_waits_for_nobody_in_particular_is_looked_at_late() -> None:
    platform = Platform(Books().keyed(), steps=[SIGNALLED])
    run = await with_everything_lost(platform)
    quiet = Quiet(run)
    await watch(platform, quiet).look()
    assert quiet.again == {run.id: T0 + LATE}


async def test_a_paused_run_is_sent_no_orders() -> None:
    books = Books()
    platform = Platform(books.keyed())
    run = await with_everything_lost(platform)
    await platform.handle(run, c.PauseRun(reason="look", now=T0))
    await watch(platform, Quiet(run)).look()
    assert platform.jobs._lanes == {}


async def test_when_orders_may_be_lost_whatever_is_at_work_is_looked_at_without_waiting() -> None:
    books = Books()
    platform = Platform(books.keyed())
    run = await with_everything_lost(platform)
    horizons: list[Instant] = []

    class Watched(Quiet):
        async def due(self, now: Instant, limit: int) -> list[tuple[TenantId, RunId]]:
            horizons.append(now)
            return await super().due(now, limit) if now > T0 else []

    watching = watch(platform, Watched(run))
    watching.hurry()
    async with running(watching.run()), running(platform.main.worker().run()):
        await platform.until(run, ended)
    assert T0 < horizons[0] < T0 + SOON
    assert books.total == 1


async def test_a_run_that_ended_or_never_was_holds_up_no_other() -> None:
    books = Books()
    platform = Platform(books.keyed())
    run = await with_everything_lost(platform)
    over = await platform.start()
    await platform.handle(over, c.CancelRun(reason="enough", now=T0))
    quiet = Quiet(StreamRef(TENANT, "run", "run_none"), over, run)
    assert await watch(platform, quiet).look() == 3
    assert quiet.again == {"run_none": T0 + LATE, over.id: T0 + LATE, run.id: T0 + SOON}


async def test_an_order_the_engine_does_not_take_is_left_to_the_watch() -> None:
    class Refusing(MemoryJobs):
        async def publish(self, lane: str, tenant_id: str, order_id: str, body: bytes) -> None:
            raise Unavailable(f"{lane} for {order_id} of {tenant_id}, {len(body)} bytes,")

    books = Books()
    platform = Platform(books.keyed())
    working, refusing = platform.jobs, Refusing()
    platform.main.dispatch._jobs = refusing
    await platform.prepare()
    run = await platform.start()
    platform.main.dispatch._jobs = working
    await watch(platform, Quiet(run)).look()
    async with running(platform.main.worker().run()):
        await platform.until(run, ended)
    assert books.total == 1


# --- alarms -----------------------------------------------------------------------------------------------------------


def alarm_worker(platform: Platform) -> AlarmWorker:
    return AlarmWorker(platform.timers, platform.main.handler, platform.clock)


async def put(platform: Platform, run: StreamRef, alarm: c.Alarm, name: str = "") -> None:
    """An alarm as it lies with the timers."""
    body = platform.main.dispatch._encode(RunAlarm(tenant_id=run.tenant_id, run_id=RunId(run.id), alarm=alarm))
    await platform.timers.set(run.tenant_id, name or timer_id(run.id, alarm), platform.clock.now(), body)


async def test_alarms_that_are_stale_unreadable_or_for_nobody_change_nothing_and_hold_up_no_other() -> None:
    platform = Platform(Books().keyed(), steps=[ask("q", timeout_s=60), WAITING], result={})
    await platform.prepare()
    run = await platform.start()
    before = await platform.history(run)
    async with running(alarm_worker(platform).run()):
        for number, (kind, key) in enumerate(
            [("retry", "tcl_1-1"), ("question", "qst_none"), ("signal", "q"), ("time", "w"), ("deadline", run.id)]
        ):
            stale: Any = c.Alarm(kind=kind, key=key, due_at=T0)  # type: ignore[arg-type]  # a table of kinds
            await put(platform, run, stale, f"stale-{number}")
        await platform.timers.set(TENANT, "rubbish", T0, b"{")
        await put(platform, StreamRef(TENANT, "run", "run_none"), c.Alarm(kind="time", key="w", due_at=T0))
        other = await platform.start()
        platform.clock.forward(timedelta(seconds=60))
        platform.timers.ring()
        assert (await platform.until(other, ended)).ending.code == "timed_out"
        assert (await platform.until(run, ended)).ending.code == "timed_out"
    assert (await platform.history(run))[: len(before)] == before
    assert kinds(await platform.history(run))[len(before) :] == ["QuestionExpired", "RunFailed"]


async def test_a_failed_call_is_made_again_when_its_pause_is_over() -> None:
    books = Books()
    failures = iter([TimeoutError(), ConnectionError()])

    async def fails_twice(_: Any) -> None:
        for failure in failures:
            raise failure

    books.during = fails_twice
    async with Platform(books.keyed()).at_work() as platform:
        run = await platform.start()
        for attempt in (1, 2):
            await platform.until(run, partial(backing_off, attempt))
            platform.clock.forward(timedelta(seconds=2))
            platform.timers.ring()
        assert (await platform.until(run, ended)).outcome == "completed"
    assert (len(books.requests), books.total) == (3, 1)


async def test_a_pause_that_a_counterpart_asked_for_is_kept_by_whoever_comes_after_the_worker_that_heard_it() -> None:
    books = Books()
    busy = iter([TryLater("busy", "slow_down", retry_after_s=90)])

    async def is_busy(_: Any) -> None:
        for answer in busy:
            raise answer

    books.during, books.effect_first = is_busy, False
    platform = Platform(books.keyed())
    await platform.prepare()
    run = await platform.start()
    async with running(platform.main.worker("w1").run()):
        await platform.until(run, partial(backing_off, 1))
    after = Process(platform, platform.tools)
    alarms = AlarmWorker(platform.timers, after.handler, platform.clock)
    async with running(after.worker("w2").run(), alarms.run()):
        platform.clock.forward(timedelta(seconds=89))
        platform.timers.ring()
        other = await platform.start()
        assert (await platform.until(other, ended)).outcome == "completed"
        assert len(books.requests) == 2, "one of each run: the first is not asked again before its time"
        platform.clock.forward(timedelta(seconds=60))  # what was asked for, and a jitter of our own
        platform.timers.ring()
        assert (await platform.until(run, ended)).outcome == "completed"
    assert (len(books.requests), books.total) == (3, 2)


async def test_an_alarm_for_a_run_that_this_program_cannot_read_is_kept_until_one_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fairlead.workers.alarm_worker.UNREADABLE_RETRY_S", 0.01)
    codec = Forgetful()
    platform = Platform(Books().keyed(), steps=[WAITING], result={}, codec=codec)
    await platform.prepare()
    run = await platform.start()
    codec.forgotten = {b"run.started.v1"}
    platform.clock.forward(timedelta(seconds=60))
    anew = Process(platform, platform.tools)
    async with running(AlarmWorker(platform.timers, anew.handler, platform.clock).run()):
        platform.timers.ring()
        await codec.puzzled.wait()
        codec.forgotten = set()
        assert (await platform.until(run, ended)).outcome == "completed"


def backing_off(attempt: int, state: Any) -> bool:
    return any(call.phase == "backing_off" and call.attempt == attempt for call in state.calls.values())
