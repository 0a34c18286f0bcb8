"""How models do is heard on the log, of all processes, and what was right in the end counts for who was asked last."""

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
from fairlead_tenants.ids import EnvironmentId, TenantId, WorkspaceId

from fairlead.adapters.memory_log import MemoryLog
from fairlead.domain.cases import CaseReported
from fairlead.domain.envelope import StreamRef
from fairlead.domain.ids import CallId, ModelCallId
from fairlead.domain.money import UsdMicros
from fairlead.domain.runs import events as e
from fairlead.handling.model_hearing import ModelHearing
from fairlead.handling.model_standings import ModelKey, ModelStandings
from tests.support.clock import T0, ManualClock, SteadyClock
from tests.support.histories import CODEC, Writer
from tests.support.platform import running

OURS = TenantId("tnt_ours")
RUN = StreamRef(OURS, "run", "run_1")
SMALL = ModelKey(OURS, "acme", "small")
CALL = ModelCallId("mcl_1-1")


def routed(model: str = "small") -> e.ModelCallRouted:
    return e.ModelCallRouted(
        call_id=CALL,
        attempt=1,
        provider="acme",
        model=model,
        price_version="p",
        reserved_usd_micros=UsdMicros(1),
        until=T0,
    )


def completed(latency_us: int = 250_000, **fields: Any) -> e.ModelCallCompleted:
    done = e.ModelCallCompleted(
        call_id=CALL,
        attempt=1,
        provider="acme",
        model="small-2026-01-01",
        answer={"text": "tool_call.verified.v1"},
        answer_hash="h",
        finish="stop",
        usage=None,
        cost_usd_micros=UsdMicros(1),
        price_version="p",
        latency_us=latency_us,
    )
    return msgspec.structs.replace(done, **fields)


def asked() -> e.ModelCallRequested:
    return e.ModelCallRequested(
        call_id=CALL,
        purpose="step",
        request={},
        request_hash="h",
        max_input_tokens=1,
        max_output_tokens=1,
        attempts=3,
        answer_schema_hash="s",
    )


def failed(error_class: e.ModelErrorClass, code: str = "c") -> e.ModelCallAttemptFailed:
    return e.ModelCallAttemptFailed(
        call_id=CALL,
        attempt=1,
        provider="acme",
        model="small",
        error_class=error_class,
        code=code,
        message="",
        latency_us=1,
    )


def verified(verdict: e.ReadBackVerdict) -> e.ToolCallVerified:
    return e.ToolCallVerified(call_id=CallId("tcl_1-1"), verdict=verdict, latency_us=1, worker="w")


def reported(run_id: str) -> CaseReported:
    return CaseReported(
        run_id=run_id,
        workspace_id=WorkspaceId("wsp_a"),
        environment_id=EnvironmentId("env_a"),
        workflow_id="wfl_a",
        workflow_version=1,
        label="wrong_action",
        comment="No.",
        through=1,
        bundle_sha256="0",
    )


async def heard(standings: ModelStandings, log: MemoryLog, until: Any) -> None:
    assert not standings.asked.is_set()
    hearing = ModelHearing(log, standings, ManualClock(T0 + timedelta(minutes=1)))
    async with running(hearing.run()), asyncio.timeout(5):
        while not until(standings.figures(SMALL)):  # noqa: ASYNC110  # it gives no signal
            await asyncio.sleep(0)


async def test_answers_failures_and_outcomes_count_for_the_model_that_was_asked() -> None:
    log, standings = MemoryLog(CODEC), ModelStandings(SteadyClock())
    writer = Writer(log)
    await writer.write(
        RUN,
        (verified("drifted"),),
        (routed(),),
        (completed(),),
        (verified("matched"), verified("unverifiable")),
        (failed("timeout"),),
        (failed("validation"),),
        (asked(), routed()),
        (failed("validation", "answer_invalid"), routed()),
        (completed(),),
        (completed(cached="exact"),),
        (verified("drifted"),),
    )
    other = StreamRef(TenantId("tnt_theirs"), "run", "run_2")
    await writer.write(other, (routed(),), (completed(),))
    await writer.append(StreamRef(OURS, "case", "cas_1"), reported("run_1"))
    await writer.append(StreamRef(OURS, "case", "cas_2"), reported("run_9"))
    await heard(standings, log, lambda found: found.checked == 5)
    found = standings.figures(SMALL)
    assert (found.calls, found.failures, found.p50_ms) == (3, 1, 250)
    assert (found.checked, found.right) == (5, 2)
    assert standings.figures(ModelKey(other.tenant_id, "acme", "small")).calls == 1


async def test_what_is_longer_ago_than_the_last_minutes_counts_no_more() -> None:
    log, standings = MemoryLog(CODEC), ModelStandings(steady := SteadyClock())
    await Writer(log).write(RUN, (routed(),), (completed(),))
    await heard(standings, log, lambda found: found.calls == 1)
    steady.forward(845)
    assert standings.figures(SMALL).calls == 0


def test_figures_are_those_of_the_last_minutes() -> None:
    steady = SteadyClock()
    standings = ModelStandings(steady)
    for latency_ms in range(1, 21):
        standings.answered(SMALL, latency_ms)
    standings.failed(SMALL)
    standings.checked(SMALL, right=False)
    standings.checked(SMALL, right=True)
    found = standings.figures(SMALL)
    assert (found.calls, found.failures, found.failure_percent) == (21, 1, 5)
    assert (found.p50_ms, found.p95_ms, found.quality_percent) == (10, 19, 50)
    steady.forward(901)
    assert standings.figures(SMALL).calls == 0
