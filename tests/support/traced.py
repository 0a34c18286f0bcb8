"""A run as its commits are on the log: a model is asked, fails once and answers, a tool is called with a signature."""

from datetime import datetime, timedelta
from typing import Any

from fairlead_tenants.ids import PrincipalId, TenantId

from fairlead.domain.envelope import SYSTEM, Commit
from fairlead.domain.ids import CommandId, ModelCallId, QuestionId
from fairlead.domain.money import UsdMicros
from fairlead.domain.runs import events as e
from fairlead.domain.tracing import RunTrace, Span, trace_of
from tests.support.clock import T0
from tests.support.histories import a_run, approval_of, call_of, completed, dispatched, requested, started

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
STARTING = f"00-{TRACE}-00f067aa0ba902b7-01"
SIGNING = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
RUN = a_run("tnt_alice", 1)
CALL = call_of(RUN, 1)
ASKED = ModelCallId("mcl_1")
MARKER = "Marker 4711 of somebody's content"


class History:
    """Commits of one run, a second apart unless it is said otherwise."""

    def __init__(self, now: datetime = T0) -> None:
        self.commits: list[Commit[Any]] = []
        self._now = now

    def then(self, *events: Any, after_s: float = 1.0, trace_parent: str | None = None) -> "History":
        self._now += timedelta(seconds=after_s)
        before = self.commits[-1].last_version if self.commits else 0
        self.commits.append(
            Commit(
                commit_id=CommandId(f"cmd_{len(self.commits):026}"),
                tenant_id=TenantId("tnt_alice"),
                kind="run",
                stream_id=RUN.id,
                first_version=before + 1,
                at=self._now,
                actor=SYSTEM,
                events=events,
                trace_parent=trace_parent,
            )
        )
        return self

    @property
    def trace(self) -> RunTrace:
        found = trace_of(self.commits)
        assert found is not None, "it has ended"
        return found


def begun(now: datetime = T0, trace_parent: str | None = STARTING) -> History:
    return History(now).then(started(RUN), trace_parent=trace_parent)


def asked(call_id: ModelCallId = ASKED) -> e.ModelCallRequested:
    return e.ModelCallRequested(
        call_id=call_id,
        purpose="turn",
        request={"messages": MARKER},
        request_hash="h",
        max_input_tokens=100,
        max_output_tokens=50,
        attempts=3,
        step="turn[0]",
        route="default",
    )


def routed(attempt: int, provider: str = "anthropic", model: str = "claude-haiku") -> e.ModelCallRouted:
    return e.ModelCallRouted(
        call_id=ASKED,
        attempt=attempt,
        provider=provider,
        model=model,
        price_version="p1",
        reserved_usd_micros=UsdMicros(900),
        until=T0,
        region="eu",
    )


def model_failed(attempt: int, code: str = "overloaded") -> e.ModelCallAttemptFailed:
    return e.ModelCallAttemptFailed(
        call_id=ASKED,
        attempt=attempt,
        provider="anthropic",
        model="claude-haiku",
        error_class="rate_limited",
        code=code,
        message=MARKER,
        latency_us=200_000,
    )


def answered(attempt: int) -> e.ModelCallCompleted:
    return e.ModelCallCompleted(
        call_id=ASKED,
        attempt=attempt,
        provider="openai_compatible",
        model="small-2026-01",
        answer={"text": MARKER},
        answer_hash="h",
        finish="tool_calls",
        usage=e.TokensUsed(input=80, cached_input=30, output=20, reasoning=5),
        cost_usd_micros=UsdMicros(123),
        price_version="p1",
        latency_us=500_000,
        first_token_us=250_000,
    )


def needs_signature() -> e.ToolCallApprovalRequested:
    return e.ToolCallApprovalRequested(
        call_id=CALL, approval_id=approval_of(RUN, 1), digest="d", count=1, roles=("reviewer",), deadline_at=T0
    )


def signed() -> e.ToolCallApproved:
    return e.ToolCallApproved(
        call_id=CALL, approval_id=approval_of(RUN, 1), approved_by=(PrincipalId("prn_ann"),), fingerprint="f"
    )


def ask(history: History) -> History:
    """The first attempt fails, the second answers."""
    history.then(asked(), routed(1)).then(model_failed(1), routed(2, "openai_compatible", "small"))
    return history.then(answered(2))


def call(history: History) -> History:
    """With a signature that took an hour."""
    history.then(requested(RUN, 1), needs_signature()).then(signed(), after_s=3600, trace_parent=SIGNING)
    return history.then(*dispatched(RUN, 1)).then(completed(RUN, 1))


def question(history: History, after_s: float) -> History:
    key = QuestionId("qst_1")
    history.then(e.QuestionAsked(question_id=key, purpose="step", question=MARKER, step="ask"))
    answer = e.QuestionAnswered(question_id=key, answer=MARKER, answered_by=PrincipalId("prn_ann"))
    return history.then(answer, after_s=after_s)


def whole(now: datetime = T0) -> History:
    """All of it, to a good end."""
    return call(ask(begun(now))).then(e.RunCompleted(output={"text": MARKER}))


def named(spans: tuple[Span, ...], name: str) -> Span:
    (found,) = [span for span in spans if span.name == name]
    return found
