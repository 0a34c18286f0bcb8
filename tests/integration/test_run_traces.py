"""Traces of runs, sent to a receiver that speaks OTLP over HTTP, however it behaves."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from fairlead_tenants.ids import TenantId
from msgspec.structs import replace

from fairlead.adapters.memory_log import MemoryLog
from fairlead.adapters.otlp import OtlpSink
from fairlead.adapters.outbound import GuardedOutbound
from fairlead.consumers import run_traces
from fairlead.consumers.run_traces import OLDEST, RunTraces
from fairlead.domain.envelope import Sequence, StreamRef
from fairlead.domain.runs import events as e
from fairlead.domain.tracing import Sampling
from tests.support.clock import T0, ManualClock
from tests.support.flaky_http import FlakyServer
from tests.support.histories import CODEC, a_run, requested
from tests.support.trace_receiver import Receiver, has_run, of
from tests.support.traced import CALL, MARKER, RUN, TRACE, History, begun, whole

SECRET = "Bearer very-secret"
ALL = Sampling(share_percent=100, slow=timedelta(seconds=30))
LATER = T0 + timedelta(hours=2)


@pytest.fixture
async def receiver(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Receiver]:
    monkeypatch.setattr(run_traces, "REDELIVER_AFTER_S", 0.02)
    async with FlakyServer.at() as running:
        yield Receiver(running)


@asynccontextmanager
async def sending(log: MemoryLog, receiver: Receiver, sampling: Sampling = ALL) -> AsyncIterator[None]:
    server = receiver.server
    async with GuardedOutbound(private_networks=["127.0.0.1/32"], plain_http=[server.authority]) as way:
        sink = OtlpSink(way, receiver.url, {"authorization": SECRET})
        task = asyncio.create_task(RunTraces(log, sink, sampling, ManualClock(LATER)).run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def recorded(log: MemoryLog, history: History, run: StreamRef = RUN) -> None:
    head = (await log.heads([run]))[0]
    have = len(await log.read(run))
    for number, commit in enumerate(history.commits[have:], start=have):
        own = replace(
            commit, stream_id=run.id, tenant_id=run.tenant_id, commit_id=f"cmd_{run.tenant_id}_{run.id}_{number}"
        )
        head = Sequence(await log.append(own, head))


async def test_a_receiver_gets_one_run_as_one_trace_with_no_content_and_no_secret_in_it(receiver: Receiver) -> None:
    log = MemoryLog(CODEC)
    async with sending(log, receiver):
        await recorded(log, whole())
        await receiver.until(has_run(RUN.id))
    spans = receiver.spans
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    ids = {span.span_id for span in spans}
    assert [span.name for span in spans if span.parent_span_id not in ids] == ["start_run"]
    assert len(ids) == 8
    (asked,) = receiver.server.asked
    assert (asked.headers["authorization"], asked.headers["content-type"]) == (SECRET, "application/x-protobuf")
    plain = gzip.decompress(asked.body)
    assert MARKER.encode() not in plain
    assert b"very-secret" not in plain


async def test_what_ended_while_the_receiver_was_away_comes_once_it_is_back(receiver: Receiver) -> None:
    log = MemoryLog(CODEC)
    receiver.answers(503)
    async with sending(log, receiver):
        await recorded(log, whole())
        await receiver.until(lambda spans: len(spans) >= 16)  # it was tried again
        receiver.answers(200)
        receiver.server.asked.clear()
        await receiver.until(has_run(RUN.id))
    assert len({span.span_id for span in receiver.spans}) == 8


async def test_what_the_receiver_will_not_take_holds_up_nothing_else(receiver: Receiver) -> None:
    log, other = MemoryLog(CODEC), a_run("tnt_bob", 2)
    receiver.answers(400)
    async with sending(log, receiver):
        await recorded(log, whole())
        await receiver.until(has_run(RUN.id))
        receiver.answers(200)
        receiver.server.asked.clear()
        await recorded(log, whole(), other)
        await receiver.until(has_run(other.id))
    assert {of(span) for span in receiver.spans} == {other.id}


async def test_good_runs_and_those_of_long_ago_are_left_out_and_failed_ones_are_not(receiver: Receiver) -> None:
    log = MemoryLog(CODEC)
    good, old, bad = (a_run("tnt_alice", number) for number in (1, 2, 3))
    async with sending(log, receiver, Sampling(share_percent=0, slow=timedelta(seconds=30))):
        await recorded(log, begun().then(e.RunCompleted(output=1)), good)
        await recorded(log, begun(LATER - OLDEST - timedelta(hours=1)).then(e.RunCancelled(reason="")), old)
        await recorded(log, begun().then(e.RunFailed(code="step_failed", message=MARKER)), bad)
        await receiver.until(has_run(bad.id))
    assert {of(span) for span in receiver.spans} == {bad.id}


async def test_what_is_undone_later_is_sent_when_that_is_over_and_the_rest_is_not_sent_again(
    receiver: Receiver,
) -> None:
    log = MemoryLog(CODEC)
    failed = begun().then(requested(RUN, 1)).then(e.RunFailed(code="step_failed", message=""))
    async with sending(log, receiver):
        await recorded(log, failed)
        await receiver.until(has_run(RUN.id))
        before = {span.span_id for span in receiver.spans}
        receiver.server.asked.clear()
        undone = e.ToolCallCompensated(call_id=CALL, attempt=1, how="call", latency_us=5)
        await recorded(log, failed.then(undone, e.CompensationEnded(undone=1, left=0)))
        await receiver.until(bool)
    (undo,) = receiver.spans
    assert (undo.name, undo.trace_id.hex()) == ("undo", TRACE)
    assert undo.parent_span_id in before


async def test_runs_of_two_tenants_that_chose_the_same_trace_keep_their_own_spans(receiver: Receiver) -> None:
    log, other = MemoryLog(CODEC), StreamRef(TenantId("tnt_bob"), "run", "run_bob")
    async with sending(log, receiver):
        await recorded(log, whole())
        await recorded(log, whole(), other)
        await receiver.until(lambda spans: has_run(RUN.id)(spans) and has_run(other.id)(spans))
    own = {run: {span.span_id for span in receiver.spans if of(span) == run} for run in (RUN.id, other.id)}
    assert len(own[RUN.id] & own[other.id]) == 1  # the request that both say they began with
