"""Commits of runs as they look on the log, for consumers. Made from facts, without asking a decider."""

import asyncio
import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from fairlead_sdk.contract import Effect, Idempotency
from fairlead_tenants.ids import EnvironmentId, PrincipalId, TenantId, WorkspaceId

from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec, UnknownEvent
from fairlead.domain.envelope import SYSTEM, Actor, Commit, Kind, Sequence, StreamRef
from fairlead.domain.ids import ApprovalId, CallId, CommandId, RunId, WorkflowId, child_id
from fairlead.domain.runs import events as e
from fairlead.ports import Log
from tests.support.clock import T0

CODEC = Codec(EVENTS, UPCASTERS)


class Forgetful(Codec):
    """Cannot read commits that hold a word it has forgotten, as if a newer program had written them."""

    def __init__(self) -> None:
        super().__init__(EVENTS, UPCASTERS)
        self.forgotten: set[bytes] = set()
        self.puzzled = asyncio.Event()

    def decode(self, kind: Kind, body: bytes) -> Commit[Any]:
        if any(word in body for word in self.forgotten):
            self.puzzled.set()
            raise UnknownEvent(f"no such event of kind {kind!r} is known")
        return super().decode(kind, body)


ANN = Actor(kind="person", id=PrincipalId("prn_ann"))
NOBODY_WAITS = e.RunLimits(tool_calls=15, model_calls=0, steps=50, tokens=0, cost_usd_micros=0)


class Writer:
    """Appends commits to a log the way the command handler does, a second apart."""

    def __init__(self, log: Log, number: int = 1) -> None:
        """`number` of its first commit: what others write into the same log has other numbers."""
        self.log = log
        self._heads: dict[StreamRef, tuple[Sequence, int]] = {}
        self._numbers = itertools.count(number)

    async def append(self, stream: StreamRef, *events: Any, actor: Actor = SYSTEM) -> Sequence:
        head, version = self._heads.get(stream, (Sequence(0), 0))
        number = next(self._numbers)
        commit: Commit[Any] = Commit(
            commit_id=CommandId(f"cmd_{number:026}"),
            tenant_id=stream.tenant_id,
            kind=stream.kind,
            stream_id=stream.id,
            first_version=version + 1,
            at=T0 + timedelta(seconds=number),
            actor=actor,
            events=events,
            correlation_id=stream.id,
        )
        sequence = await self.log.append(commit, head)
        self._heads[stream] = (sequence, commit.last_version)
        return sequence

    async def write(self, stream: StreamRef, *commits: tuple[Any, ...]) -> Sequence:
        """Several commits; where the last one is."""
        return [await self.append(stream, *events) for events in commits][-1]


def a_run(tenant: str, number: int, kind: Kind = "run") -> StreamRef:
    return StreamRef(TenantId(tenant), kind, f"run_{number:026}")


def started(run: StreamRef) -> e.RunStarted:
    return e.RunStarted(
        run_id=RunId(run.id),
        workflow_id=WorkflowId("wfl_pay"),
        workflow_name="pay",
        workflow_version=3,
        workflow_hash="h",
        workspace_id=WorkspaceId("wsp_1"),
        environment_id=EnvironmentId("env_1"),
        environment_kind="live",
        started_by=ANN.id,
        agent_principal_id=PrincipalId("prn_agent"),
        planner="steps",
        policy_version="p1",
        input={"invoice": "4711"},
        limits=NOBODY_WAITS,
        started_at=T0,
        deadline_at=T0 + timedelta(hours=1),
        labels={"team": "ap"},
    )


def call_of(run: StreamRef, number: int) -> CallId:
    return CallId(child_id("tcl", run.id, number))


def approval_of(run: StreamRef, number: int) -> ApprovalId:
    return ApprovalId(child_id("apr", run.id, number))


def requested(run: StreamRef, number: int, step: str | None = None) -> e.ToolCallRequested:
    return e.ToolCallRequested(
        call_id=call_of(run, number),
        step=step or f"s{number}",
        tool="notes.append_line",
        tool_version="1.0.0",
        schema_hash="sha256:1",
        effect=Effect.WRITE,
        idempotency=Idempotency.KEY,
        arguments={"text": "line " + "x" * 200, "number": number},
        timeout_s=5.0,
    )


def dispatched(run: StreamRef, number: int, attempt: int = 1) -> tuple[Any, ...]:
    call_id = call_of(run, number)
    judged = e.ToolCallJudged(call_id=call_id, verdict="allow", rule_id="r1", policy_version="p1")
    return (judged, e.ToolCallDispatched(call_id=call_id, attempt=attempt))


def completed(run: StreamRef, number: int) -> e.ToolCallCompleted:
    return e.ToolCallCompleted(
        call_id=call_of(run, number),
        attempt=1,
        output={"line": number, "text": "y" * 250},
        output_sha256="0" * 64,
        latency_us=900,
        worker="w1",
    )


def five_steps(run: StreamRef) -> Iterator[tuple[Any, ...]]:
    """The commits of a run of five calls, one after the other."""
    yield (started(run), requested(run, 1), *dispatched(run, 1))
    for number in range(1, 5):
        yield (completed(run, number), requested(run, number + 1), *dispatched(run, number + 1))
    yield (completed(run, 5), e.RunCompleted(output={"lines": 5}))
