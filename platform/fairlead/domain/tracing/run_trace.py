"""The trace of a run, from its commits alone: the same commits always give the same trace."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, get_args

from fairlead.domain.envelope import Commit
from fairlead.domain.runs import events as e
from fairlead.domain.tracing import call_spans as calls
from fairlead.domain.tracing import conventions as c
from fairlead.domain.tracing.drawing import RUN_KEY, Drawing, link_of, waited
from fairlead.domain.tracing.spans import Link, RunTrace, Span, Value

_ENDINGS = frozenset(get_args(e.RunEnding))
_DRAWN_BY: dict[type, Callable[[Drawing, Any], None]] = {
    **dict.fromkeys(
        (
            e.ModelCallRequested,
            e.ModelCallRouted,
            e.ModelCallHeld,
            e.ModelCallCompleted,
            e.ModelCallAttemptFailed,
            e.ModelCallFailed,
            e.ModelCallRefused,
            e.ModelCallReleased,
        ),
        calls.draw_model_call,
    ),
    **dict.fromkeys(
        (
            e.ToolCallRequested,
            e.ToolCallAskRefused,
            e.ToolCallJudged,
            e.ToolCallHeld,
            e.ToolCallConnectionAwaited,
            e.ToolCallOutcomeUnknown,
            e.ToolCallReleased,
            e.ToolCallDenied,
        ),
        calls.draw_tool_call,
    ),
    **dict.fromkeys((e.ToolCallCompleted, e.ToolCallVerified, e.ToolCallFailed), calls.draw_attempt),
    **dict.fromkeys(
        (e.ToolCallApprovalRequested, e.ToolCallApproved, e.ToolCallAmended, e.ToolCallApprovalVoided),
        calls.draw_approval,
    ),
}
_UNDOING = frozenset({e.ToolCallCompensated, e.CompensationFailed, e.CompensationLeft})


def trace_of(commits: Sequence[Commit[Any]]) -> RunTrace | None:
    """None where the run has not ended, or its beginning is not kept any more."""
    if not commits or not isinstance(commits[0].events[0], e.RunStarted | e.RunForked):
        return None
    first = commits[0]
    start = link_of(first.trace_parent)
    on, undoing = Drawing(first.tenant_id, first.stream_id, start), _Undoing(first, start)
    waits = _Waits(on)
    ended, ended_at = None, first.at
    for commit in commits:
        on.at(commit.at, commit.trace_parent)
        for event in commit.events:
            if ended is not None or type(event) in _UNDOING:
                undoing.draw(commit, event)
            elif type(event) in _ENDINGS:
                ended, ended_at = event, commit.at
                _end(on, event)
            else:
                _draw(on, waits, event)
    if ended is None:
        return None
    spans = (*([_request(first, start)] if start else []), *on.spans)
    return RunTrace(
        tenant_id=first.tenant_id,
        run_id=first.stream_id,
        trace_id=on.trace_id,
        ended_at=ended_at,
        busy=ended_at - first.at - waited(on.spans),
        flawed=not isinstance(ended, e.RunCompleted) or any(span.error for span in on.spans),
        spans=spans,
        undoing=tuple(undoing.on.spans),
    )


def _request(first: Commit[Any], start: Link) -> Span:
    """What asked for the run: of that request its place in the trace and its time are on record, and no more."""
    return Span(
        span_id=start.span_id,
        parent_id="",
        name="start_run",
        kind="server",
        began_at=first.at,
        ended_at=first.at,
        attributes={c.TENANT: first.tenant_id, c.RUN: first.stream_id},
    )


def _draw(on: Drawing, waits: "_Waits", event: Any) -> None:
    if drawn_by := _DRAWN_BY.get(type(event)):
        drawn_by(on, event)
        return
    match event:
        case e.RunStarted():
            _begin(on, event, {})
        case e.RunForked(inherited=(e.RunStarted() as origin, *_), parent_run_id=parent_run_id):
            _begin(on, origin, {c.PARENT_RUN: parent_run_id})
        case e.RunForked(parent_run_id=parent_run_id):
            on.begin(RUN_KEY, c.INVOKE_WORKFLOW, {c.OPERATION: c.INVOKE_WORKFLOW, c.PARENT_RUN: parent_run_id})
        case e.GuardrailFound():
            found = {"side": event.side, "detector": event.detector, "action": event.action}
            on.mark(event.call_id or RUN_KEY, "guardrail", found)
        case e.LimitReached(limit=limit):
            on.mark(RUN_KEY, "limit_reached", {"limit": limit})
        case e.IncidentReported(kind=kind, call_id=call_id):
            on.mark(call_id, "incident", {"kind": kind})
        case e.StepRepaired(repair=repair, step=step):
            on.mark(RUN_KEY, "step_repaired", {"repair": repair, c.STEP: step})
        case _:
            waits.draw(event)


def _begin(on: Drawing, origin: e.RunStarted, more: dict[str, Value]) -> None:
    operation = c.INVOKE_AGENT if origin.planner == "model" else c.INVOKE_WORKFLOW
    named = c.AGENT_NAME if operation == c.INVOKE_AGENT else c.WORKFLOW_NAME
    found: dict[str, Value] = {
        c.OPERATION: operation,
        named: origin.workflow_name,
        c.AGENT_ID: origin.agent_principal_id,
        c.WORKSPACE: origin.workspace_id,
        c.ENVIRONMENT: origin.environment_kind,
        c.WORKFLOW_VERSION: origin.workflow_version,
    }
    on.begin(RUN_KEY, f"{operation} {origin.workflow_name}", found | more)


def _end(on: Drawing, event: e.RunEnding) -> None:
    outcome = type(event).__name__.removeprefix("Run").lower()
    match event:
        case e.RunCompleted():
            error = ""
        case e.RunFailed(code=code):
            error = code
        case e.RunCapped(limit=limit):
            error = f"limit_{limit}"
        case _:
            error = outcome
    on.end_all(error, {c.OUTCOME: outcome})


class _Waits:
    """What a run waits for that is no call: people, signals, times, the end of a pause."""

    def __init__(self, on: Drawing) -> None:
        self._on = on
        self._early: Counter[str] = Counter()
        self._awaited: dict[str, list[str]] = {}

    def draw(self, event: Any) -> None:
        on = self._on
        match event:
            case e.QuestionAsked(question_id=key, purpose=purpose, step=step):
                found = {c.QUESTION: key, c.PURPOSE: purpose, c.STEP: step}
                on.begin(key, "question", found, waits=True)
            case e.QuestionAnswered(question_id=key):
                on.end(key, attributes={c.OUTCOME: "answered"})
            case e.QuestionExpired(question_id=key):
                on.end(key, "question_expired")
            case e.TimeAwaited(step=step):
                on.begin(f"time/{step}", "wait", {c.STEP: step}, waits=True)
            case e.TimeElapsed(step=step):
                on.end(f"time/{step}")
            case e.RunPaused():
                on.begin("pause", "paused", {}, waits=True)
            case e.RunResumed():
                on.end("pause")
            case _:
                self._signal(event)

    def _signal(self, event: Any) -> None:
        match event:
            case e.SignalAwaited(step=step, name=name) if self._early[name]:
                self._early[name] -= 1
            case e.SignalAwaited(step=step, name=name):
                self._awaited.setdefault(name, []).append(step)
                self._on.begin(f"signal/{step}", "signal", {c.STEP: step}, waits=True)
            case e.SignalReceived(name=name):
                open_ones = [step for step in self._awaited.get(name, []) if self._on.is_open(f"signal/{step}")]
                if open_ones:
                    self._on.end(f"signal/{open_ones[0]}")
                else:
                    self._early[name] += 1
            case e.SignalTimedOut(step=step):
                self._on.end(f"signal/{step}", "signal_timed_out")


class _Undoing:
    """What is undone has its spans sent by themselves: the rest may have been sent long before."""

    def __init__(self, first: Commit[Any], start: Link | None) -> None:
        self.on = Drawing(first.tenant_id, first.stream_id, start)

    def draw(self, commit: Commit[Any], event: Any) -> None:
        if type(event) in _UNDOING:
            self.on.at(commit.at, commit.trace_parent)
            calls.draw_undoing(self.on, event)
