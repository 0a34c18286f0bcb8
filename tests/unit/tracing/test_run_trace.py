"""What a run did, as one trace."""

import subprocess
import sys
from datetime import timedelta

import msgspec
import pytest
from fairlead_tenants.ids import PrincipalId
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as published
from opentelemetry.trace import SpanKind, StatusCode

from fairlead.adapters.memory_log import MemoryLog
from fairlead.adapters.otlp import headers_of, readable
from fairlead.adapters.outbound import GuardedOutbound
from fairlead.domain.ids import RunId
from fairlead.domain.runs import events as e
from fairlead.domain.tracing import Link, Sampling, conventions, is_kept
from fairlead.settings import Settings
from fairlead.telemetry_parts import NoTelemetry, run_traces
from tests.support.clock import T0, ManualClock
from tests.support.histories import CODEC, completed, requested, started
from tests.support.traced import (
    ASKED,
    CALL,
    MARKER,
    RUN,
    TRACE,
    History,
    ask,
    asked,
    begun,
    call,
    model_failed,
    named,
    question,
    routed,
    whole,
)

ONLY_BAD_ONES = Sampling(share_percent=0, slow=timedelta(seconds=30))


def test_a_run_is_one_trace_from_the_request_over_models_to_the_tool_and_the_signature() -> None:
    trace = whole().trace
    by_id = {span.span_id: span.name for span in trace.spans}
    assert {span.name: by_id.get(span.parent_id, "") for span in trace.spans} == {
        "start_run": "",
        "invoke_workflow pay": "start_run",
        "model_call default": "invoke_workflow pay",
        "chat claude-haiku": "model_call default",
        "chat small": "model_call default",
        "execute_tool notes.append_line": "invoke_workflow pay",
        "approval": "execute_tool notes.append_line",
        "attempt": "execute_tool notes.append_line",
    }
    assert trace.trace_id == TRACE
    assert len(by_id) == len(trace.spans)


def test_a_model_that_answered_is_told_in_the_words_of_the_conventions() -> None:
    chat = named(whole().trace.spans, "chat small")
    assert chat.kind == "client"
    assert chat.ended_at - chat.began_at == timedelta(microseconds=500_000)
    assert chat.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai_compatible",
        "gen_ai.request.model": "small",
        "gen_ai.response.model": "small-2026-01",
        "gen_ai.response.finish_reasons": ("tool_calls",),
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.usage.input_tokens": 80,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 30,
        "gen_ai.usage.cache_creation.input_tokens": 0,
        "gen_ai.usage.reasoning.output_tokens": 5,
        "fairlead.tenant.id": "tnt_alice",
        "fairlead.run.id": RUN.id,
        "fairlead.model_call.id": ASKED,
        "fairlead.attempt": 2,
        "fairlead.region": "eu",
        "fairlead.cost_usd_micros": 123,
    }


def test_a_tool_that_was_called_is_told_in_the_words_of_the_conventions() -> None:
    tool = named(whole().trace.spans, "execute_tool notes.append_line")
    expected = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "notes.append_line",
        "gen_ai.tool.call.id": CALL,
    }
    assert expected.items() <= tool.attributes.items()
    assert [mark.name for mark in tool.marks] == ["judged"]


def test_an_attempt_that_failed_is_a_span_with_its_code_and_tokens_are_counted_once() -> None:
    spans = whole().trace.spans
    failed = named(spans, "chat claude-haiku")
    assert (failed.error, failed.attributes["error.type"]) == ("overloaded", "overloaded")
    assert sum(1 for span in spans if "gen_ai.usage.input_tokens" in span.attributes) == 1


def test_whoever_signed_did_so_in_a_request_of_their_own_which_is_linked() -> None:
    approval = named(whole().trace.spans, "approval")
    assert approval.links == (Link("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"),)
    assert (approval.attributes["fairlead.outcome"], approval.waits) == ("granted", True)


def test_names_are_those_that_the_conventions_publish() -> None:
    theirs = {value for name, value in vars(published).items() if name.startswith("GEN_AI_")}
    ours = {value for value in vars(conventions).values() if isinstance(value, str) and value.startswith("gen_ai.")}
    assert ours
    assert ours <= theirs
    operations = {each.value for each in published.GenAiOperationNameValues}
    assert {
        conventions.CHAT,
        conventions.EXECUTE_TOOL,
        conventions.INVOKE_AGENT,
        conventions.INVOKE_WORKFLOW,
    } <= operations


def test_no_content_is_in_a_trace_not_even_where_a_counterpart_writes_it_into_a_code() -> None:
    history = begun().then(asked(), routed(1)).then(model_failed(1, code=MARKER))
    history.then(msgspec.structs.replace(requested(RUN, 1), arguments={MARKER: MARKER}))
    question(history, 1.0)
    failed = e.ToolCallFailed(
        call_id=CALL, attempt=1, error_class="permanent", code=MARKER, message=MARKER, latency_us=5, worker="w"
    )
    history.then(failed).then(e.RunFailed(code="step_failed", message=MARKER))
    sent = msgspec.json.encode(history.trace).decode()
    assert MARKER not in sent
    assert "4711" not in sent
    assert named(history.trace.spans, "attempt").error == "other"


def test_the_same_commits_give_the_same_trace_and_another_run_has_other_spans() -> None:
    assert whole().trace == whole().trace
    alone = begun(trace_parent=None).then(e.RunCompleted(output=1)).trace
    assert [span.parent_id for span in alone.spans] == [""]
    assert alone.trace_id != TRACE


def test_a_run_that_goes_on_has_no_trace_yet_and_one_that_ends_closes_what_is_open() -> None:
    history = begun().then(requested(RUN, 1))
    with pytest.raises(AssertionError, match="it has ended"):
        _ = history.trace
    history.then(e.RunCancelled(reason=MARKER)).then(completed(RUN, 1))
    tool = named(history.trace.spans, "execute_tool notes.append_line")
    assert tool.attributes["fairlead.outcome"] == "open"
    assert history.trace.ended_at == tool.ended_at


def test_what_is_undone_after_the_end_comes_by_itself_below_its_call() -> None:
    history = begun().then(requested(RUN, 1)).then(completed(RUN, 1)).then(e.RunFailed(code="x", message=""))
    before = history.trace
    undone = e.ToolCallCompensated(call_id=CALL, attempt=1, how="call", latency_us=7)
    trace = history.then(undone, e.CompensationEnded(undone=1, left=0)).trace
    (undo,) = trace.undoing
    assert undo.parent_id == named(trace.spans, "execute_tool notes.append_line").span_id
    assert trace.spans == before.spans


@pytest.mark.parametrize(
    "end",
    [
        e.RunFailed(code="step_failed", message=""),
        e.RunCancelled(reason=""),
        e.RunImpossible(reason=""),
        e.RunCapped(limit="tokens", used=1, allowed=1),
    ],
)
def test_every_run_that_did_not_complete_is_kept(end: e.RunEnding) -> None:
    assert is_kept(begun().then(end).trace, ONLY_BAD_ONES)
    assert not is_kept(begun().then(e.RunCompleted(output=1)).trace, ONLY_BAD_ONES)


def test_a_run_that_completed_after_something_went_wrong_is_kept() -> None:
    assert is_kept(ask(begun()).then(e.RunCompleted(output=1)).trace, ONLY_BAD_ONES)


@pytest.mark.parametrize(("worked_s", "kept"), [(29.999, False), (30.0, True), (30.001, True)])
def test_a_run_is_slow_from_the_limit_on(worked_s: float, kept: bool) -> None:
    trace = begun().then(e.RunCompleted(output=1), after_s=worked_s).trace
    assert is_kept(trace, ONLY_BAD_ONES) is kept


def test_waiting_for_people_makes_no_run_slow() -> None:
    trace = question(call(begun()), after_s=7200).then(e.RunCompleted(output=1)).trace
    assert trace.busy < timedelta(seconds=10)
    assert not is_kept(trace, ONLY_BAD_ONES)


def test_a_signal_that_came_early_is_not_waited_for_and_a_pause_is() -> None:
    early = e.SignalReceived(signal_id="s1", name="paid", payload=MARKER)
    history = begun().then(early).then(e.SignalAwaited(step="first", name="paid"))
    history.then(e.SignalAwaited(step="second", name="paid")).then(e.RunPaused(reason=MARKER))
    late = e.SignalReceived(signal_id="s2", name="paid", payload=MARKER)
    history.then(late, after_s=100).then(e.RunResumed(reason=""), after_s=100).then(e.RunCompleted(output=1))
    spans = history.trace.spans
    assert named(spans, "signal").attributes["fairlead.step"] == "second"
    assert (named(spans, "signal").ended_at, named(spans, "paused").waits) == (history.commits[5].at, True)
    assert history.trace.busy == timedelta(seconds=4)  # what is waited for at the same time is waited for once


def test_what_guardrails_and_limits_did_is_marked_where_it_was() -> None:
    found = e.GuardrailFound(side="input", detector="iban", version="1", action="redacted", where=MARKER, call_id=ASKED)
    history = begun().then(asked()).then(found).then(e.LimitReached(limit="tokens", used=1, allowed=1))
    history.then(e.ModelCallRefused(call_id=ASKED, by="budget", code="budget_tenant_tokens", reason=MARKER))
    spans = history.then(e.RunFailed(code="budget_tenant_tokens", message=MARKER)).trace.spans
    refused = named(spans, "model_call default")
    assert [(mark.name, mark.attributes["detector"]) for mark in refused.marks] == [("guardrail", "iban")]
    assert (refused.error, refused.attributes["fairlead.outcome"]) == ("budget_tenant_tokens", "refused_budget")
    assert [mark.name for mark in named(spans, "invoke_workflow pay").marks] == ["limit_reached"]


def test_a_fork_has_a_trace_of_its_own_that_names_its_parent() -> None:
    inherited = (started(RUN), requested(RUN, 1))
    fork = e.RunForked(
        run_id=RunId(RUN.id),
        parent_run_id=RunId("run_parent"),
        parent_version=2,
        inherited=inherited,
        forked_by=PrincipalId("prn_ann"),
        reason=MARKER,
        started_at=T0,
        deadline_at=T0,
    )
    (run,) = History().then(fork).then(completed(RUN, 1), e.RunCompleted(output=1)).trace.spans[-1:]
    assert (run.name, run.attributes["fairlead.parent_run.id"]) == ("invoke_workflow pay", "run_parent")


def test_of_the_rest_a_share_is_kept_the_same_by_every_process() -> None:
    good = begun().then(e.RunCompleted(output=1)).trace
    traces = [msgspec.structs.replace(good, trace_id=f"{number:032x}") for number in range(2_000)]

    def kept(share_percent: int) -> set[str]:
        sampling = Sampling(share_percent=share_percent, slow=timedelta(days=1))
        return {trace.trace_id for trace in traces if is_kept(trace, sampling)}

    assert len(kept(0)) == 0
    assert 150 < len(kept(10)) < 250
    assert kept(10) < kept(50)
    assert len(kept(100)) == len(traces)


def test_every_exporter_of_opentelemetry_takes_the_spans() -> None:
    exporter, trace = InMemorySpanExporter(), whole().trace
    exporter.export([readable(trace.trace_id, span) for span in trace.spans])
    found = {span.name: span for span in exporter.get_finished_spans()}
    run, request = found["invoke_workflow pay"], found["start_run"]
    assert run.parent is not None
    assert (run.parent.span_id, request.kind) == (int("00f067aa0ba902b7", 16), SpanKind.SERVER)
    assert {context.trace_id for span in found.values() if (context := span.get_span_context())} == {int(TRACE, 16)}
    assert found["chat claude-haiku"].status.status_code is StatusCode.ERROR
    assert run.start_time is not None
    assert run.end_time is not None
    assert run.end_time - run.start_time == round((trace.ended_at - trace.spans[0].began_at).total_seconds() * 1e9)


def test_headers_are_read_as_they_are_written() -> None:
    assert headers_of("Authorization=Bearer a=b,x-team=t") == {"authorization": "Bearer a=b", "x-team": "t"}
    assert headers_of(None) == {}


def test_a_receiver_without_what_speaks_to_it_is_refused_with_what_is_to_be_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "fairlead.adapters.otlp", None)
    log, clock, way = MemoryLog(CODEC), ManualClock(), GuardedOutbound()
    assert run_traces(Settings(), log, way, clock) is None
    with pytest.raises(NoTelemetry, match=r"fairlead\[otel\]"):
        run_traces(Settings(telemetry_url="https://collector.example/v1/traces"), log, way, clock)


def test_where_no_receiver_is_named_nothing_of_opentelemetry_is_imported() -> None:
    program = "import sys, fairlead.app; sys.exit(any(name.split('.')[0] == 'opentelemetry' for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0
