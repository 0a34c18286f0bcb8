"""What follows by itself: ask the planner, turn its decisions into facts, until the run only waits or has ended."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, Protocol, assert_never

from fairlead_sdk.contract import Effect, Idempotency

from fairlead.domain.canonical import canonical_sha256
from fairlead.domain.connections.resolution import name_for
from fairlead.domain.errors import Problem
from fairlead.domain.guardrails.findings import Finding
from fairlead.domain.ids import ApprovalId, CallId, ModelCallId, QuestionId, child_id, parent_id
from fairlead.domain.instant import Instant
from fairlead.domain.planning import seam
from fairlead.domain.policy.document import ApprovalsNeeded, Obligations
from fairlead.domain.policy.trial import Trial
from fairlead.domain.runs import events as e
from fairlead.domain.runs.folding import evolve
from fairlead.domain.runs.model_requests import asked_of_model, most_tokens
from fairlead.domain.runs.states import Active, OpenCall, RunState
from fairlead.domain.workflow.document import Workflow

MAX_ROUNDS = 2_000  # more rounds without waiting is a planner that does not end


class KnownTool(Protocol):
    """What a decision needs to know of a tool."""

    @property
    def version(self) -> str: ...
    @property
    def schema_hash(self) -> str: ...
    @property
    def effect(self) -> Effect: ...
    @property
    def idempotency(self) -> Idempotency: ...
    @property
    def timeout_s(self) -> float: ...
    @property
    def on_outage(self) -> e.OnOutage: ...
    @property
    def has_verify(self) -> bool: ...
    @property
    def has_compensate(self) -> bool: ...


class Verdict(Protocol):
    """What the judge said of one call."""

    @property
    def verdict(self) -> e.Verdict: ...
    @property
    def rule_id(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def policy_version(self) -> str: ...
    @property
    def risk(self) -> int: ...
    @property
    def places(self) -> Mapping[str, str]: ...
    @property
    def obligations(self) -> Obligations: ...
    @property
    def trial(self) -> Trial | None: ...
    @property
    def approvals(self) -> ApprovalsNeeded | None: ...


class RunRules(Protocol):
    """Everything outside the run that decides about it: one workflow version with its planner, policy and tools."""

    @property
    def workflow(self) -> Workflow: ...
    @property
    def planner(self) -> seam.Planner: ...
    def tool(self, name: str) -> KnownTool | None: ...
    def argument_problems(self, tool: str, arguments: object) -> Sequence[Problem]: ...
    def output_problems(self, output: object) -> Sequence[Problem]: ...
    def answer_problems(self, schema: dict[str, Any], answer: object) -> Sequence[Problem]: ...
    def tool_output_problems(self, tool: str, output: object) -> Sequence[Problem]: ...
    def judge(self, call: OpenCall, state: Active, now: Instant, *, counts: bool = True) -> Verdict: ...
    def stands(self, call: OpenCall) -> bool: ...


class Unfolding:
    """Facts of one decision as they accumulate, and the state they lead to."""

    def __init__(self, state: RunState) -> None:
        self.state = state
        self.facts: list[e.RunEvent] = []

    def add(self, *facts: e.RunEvent) -> None:
        for fact in facts:
            self.facts.append(fact)
            self.state = evolve(self.state, fact)

    @property
    def active(self) -> Active:
        assert isinstance(self.state, Active), "only a run under way unfolds"
        return self.state

    def is_moving(self) -> bool:
        """Under way, and neither paused nor waiting for more room."""
        state = self.state
        return isinstance(state, Active) and state.paused is None and state.limit_reached is None


def advance(run: Unfolding, rules: RunRules, now: Instant) -> None:
    """Plan until there is nothing left to decide."""
    for _ in range(MAX_ROUNDS):
        if not run.is_moving():
            return
        decisions = rules.planner.plan(_view(run.active, rules.workflow))
        if not decisions:
            return
        for decision in decisions:
            if not run.is_moving():
                return
            _carry_out(decision, run, rules, now)
    run.add(e.RunFailed(code="planner_does_not_end", message="the planner decided without end"))


def _view(state: Active, workflow: Workflow) -> seam.PlanView:
    return seam.PlanView(
        workflow=workflow,
        input=state.start.input,
        run=seam.RunFacts(
            id=state.run_id,
            started_at=state.start.started_at,
            version=state.start.workflow_version,
            mark=state.start.mark,
        ),
        outcomes=state.outcomes,
        choices=state.choices,
        open=frozenset(state.open),
        asked=state.asks,
        used=seam.Used(retries=state.retries_used, cost_usd_micros=state.cost_usd_micros),
    )


def _carry_out(decision: seam.Decision, run: Unfolding, rules: RunRules, now: Instant) -> None:
    match decision:
        case seam.Choose(step=step, choice=choice):
            run.add(e.ChoiceMade(step=step, choice=choice))
        case seam.Found(step=step, findings=findings):
            run.add(*_found("output", step, findings))
        case seam.Finish(output=output):
            run.add(_finish(output, rules))
        case seam.Fail(code=code, message=message, step=step):
            run.add(e.RunFailed(code=code, message=message, step=step))
        case seam.DeclareImpossible(reason=reason):
            run.add(e.RunImpossible(reason=reason))
        case seam.CallTool() | seam.AskModel() | seam.AskPerson() | seam.AwaitSignal() | seam.AwaitTime():
            if not _at_limit(decision, run):
                _take_step(decision, run, rules, now)
        case _:
            assert_never(decision)


def _finish(output: object, rules: RunRules) -> e.RunCompleted | e.RunFailed:
    problems = rules.output_problems(output)
    if not problems:
        return e.RunCompleted(output=output)
    first = problems[0]
    return e.RunFailed(code="output_invalid", message=f"the output breaks its schema at {first.path}: {first.message}")


def _at_limit(decision: seam.Decision, run: Unfolding) -> bool:
    """End or ask when this decision would pass a limit."""
    state = run.active
    reached: e.LimitReached | None = None
    if isinstance(decision, seam.CallTool) and state.tool_calls_used >= state.limits.tool_calls:
        reached = e.LimitReached(limit="tool_calls", used=state.tool_calls_used, allowed=state.limits.tool_calls)
    elif isinstance(decision, seam.AskModel):
        reached = model_limit(state, most_tokens(decision.request))
    if reached is None and state.steps_used >= state.limits.steps:
        reached = e.LimitReached(limit="steps", used=state.steps_used, allowed=state.limits.steps)
    if reached is None:
        return False
    stop_at(reached, run)
    return True


def model_limit(state: Active, tokens: int) -> e.LimitReached | None:
    """Which limit another model call would pass that uses up to so many tokens. What is under way counts with the most
    that it can use."""
    limits = state.limits
    if state.model_calls_used >= limits.model_calls:
        return e.LimitReached(limit="model_calls", used=state.model_calls_used, allowed=limits.model_calls)
    used = state.tokens_used + sum(call.request.max_tokens for call in state.model_calls.values())
    if used + tokens > limits.tokens:
        return e.LimitReached(limit="tokens", used=used, allowed=limits.tokens)
    return None


def stop_at(reached: e.LimitReached, run: Unfolding) -> None:
    """End or ask, as the workflow says."""
    state = run.active
    if state.limits.on_limit == "end":
        run.add(e.RunCapped(limit=reached.limit, used=reached.used, allowed=reached.allowed))
        return
    question = e.QuestionAsked(
        question_id=QuestionId(child_id("qst", state.run_id, state.numbered + 1)),
        purpose="limit",
        question=_ROOM_ASKED.get(reached.limit, _MORE_ASKED).format(
            used=reached.used, allowed=reached.allowed, what=reached.limit.replace("_", " ")
        ),
        schema=_limit_answer(reached.limit),
    )
    run.add(reached, question)


_MORE_ASKED = "All {allowed} {what} are used. How many more may it use?"
_ROOM_ASKED: Mapping[e.LimitName, str] = {
    "tokens": "{used} of {allowed} tokens are used, and the next call may need more than are left. How many more?",
    "cost_usd_micros": "{used} of {allowed} millionths of a US dollar are used, and the next call may cost more than"
    " is left. How many more?",
}
_MOST_MORE: Mapping[e.LimitName, int] = {"tokens": 100_000_000, "cost_usd_micros": 10_000_000_000}


def _limit_answer(limit: e.LimitName) -> dict[str, Any]:
    """How much more may be given at once."""
    most = _MOST_MORE.get(limit, 1000)
    return {**LIMIT_ANSWER, "properties": {"raise_by": {"type": "integer", "minimum": 0, "maximum": most}}}


LIMIT_ANSWER = {
    "type": "object",
    "properties": {"raise_by": {"type": "integer", "minimum": 0, "maximum": 1000}},
    "required": ["raise_by"],
    "additionalProperties": False,
}


def _take_step(
    decision: seam.CallTool | seam.AskModel | seam.AskPerson | seam.AwaitSignal | seam.AwaitTime,
    run: Unfolding,
    rules: RunRules,
    now: Instant,
) -> None:
    state = run.active
    match decision:
        case seam.CallTool():
            _request(decision, run, rules, now)
        case seam.AskModel():
            run.add(_ask_model(decision, state), *_found("input", decision.step, decision.found))
        case seam.AskPerson():
            run.add(
                e.QuestionAsked(
                    question_id=QuestionId(child_id("qst", state.run_id, state.numbered + 1)),
                    purpose="step",
                    step=decision.step,
                    question=decision.question,
                    schema=decision.schema,
                    roles=decision.roles,
                    deadline_at=_after(now, decision.timeout_s),
                )
            )
        case seam.AwaitSignal():
            deadline_at = _after(now, decision.timeout_s)
            run.add(e.SignalAwaited(step=decision.step, name=decision.name, deadline_at=deadline_at))
        case seam.AwaitTime():
            due_at = decision.due_at or now + timedelta(seconds=decision.seconds or 0)
            run.add(e.TimeAwaited(step=decision.step, due_at=due_at))


def _ask_model(decision: seam.AskModel, state: Active) -> e.ModelCallRequested:
    return asked_of_model(
        decision.request,
        call_id=ModelCallId(child_id("mcl", state.run_id, state.numbered + 1)),
        purpose=decision.purpose,
        step=decision.step,
        route=decision.route,
        candidates=decision.candidates,
        prompt=decision.prompt,
        tools=decision.tools,
        checked=decision.checked,
        attempts=decision.attempts,
        timeout_s=decision.timeout_s,
    )


def _found(side: Literal["input", "output"], step: str, findings: Iterable[Finding]) -> Iterator[e.GuardrailFound]:
    for each in findings:
        yield e.GuardrailFound(
            side=side,
            detector=each.detector,
            version=str(each.version),
            action=each.action,
            where=each.where,
            step=step,
        )


def _after(now: Instant, timeout_s: int | None) -> Instant | None:
    return None if timeout_s is None else now + timedelta(seconds=timeout_s)


def _request(decision: seam.CallTool, run: Unfolding, rules: RunRules, now: Instant) -> None:
    state = run.active
    call_id = call_id_of(state, decision.step)
    tool = rules.tool(decision.tool)
    if tool is None and decision.step in state.asks:
        run.add(_refused_ask(call_id, decision, rules))
        return
    if tool is None:
        run.add(e.RunFailed(code="tool_missing", message=f"tool {decision.tool} is not installed", step=decision.step))
        return
    retry = decision.retry
    arguments = state.edits.get(decision.step, decision.arguments)
    requested = e.ToolCallRequested(
        call_id=call_id,
        step=decision.step,
        tool=decision.tool,
        tool_version=tool.version,
        schema_hash=tool.schema_hash,
        effect=tool.effect,
        idempotency=tool.idempotency,
        arguments=arguments,
        timeout_s=decision.timeout_s or tool.timeout_s,
        retry=e.CallRetry(attempts=retry.attempts, initial_ms=retry.initial_ms, max_ms=retry.max_ms, on=retry.on),
        verify=tool.has_verify and tool.effect is not Effect.READ,
        on_mismatch=decision.on_mismatch,
        compensate=decision.compensate and tool.has_compensate and tool.effect is not Effect.READ,
        on_outage=decision.on_outage or tool.on_outage,
        connection=name_for(decision.tool, rules.workflow.connections) or "",
    )
    run.add(requested)
    problems = rules.argument_problems(decision.tool, arguments)
    if problems:
        run.add(_refused_arguments(call_id, problems))
        return
    judge(run, call_id, rules, now)


def call_id_of(state: Active, step: str) -> CallId:
    """That of whoever asked for the call, unless the step has had a call of this id: a fork makes its own."""
    ask = next((ask for ask in reversed(state.asked.values()) if ask.step == step), None) if state.asks else None
    if ask is not None and parent_id("run", ask.call_id) == state.run_id:
        return ask.call_id
    return CallId(child_id("tcl", state.run_id, state.numbered + 1))


def _refused_ask(call_id: CallId, decision: seam.CallTool, rules: RunRules) -> e.ToolCallAskRefused:
    """Its agent may make names up, and is told; the run goes on."""
    listed = decision.tool in rules.workflow.tools
    return e.ToolCallAskRefused(
        call_id=call_id,
        step=decision.step,
        tool=decision.tool,
        rule_id="default.not_installed" if listed else "default.not_on_allow_list",
        reason="the tool is not installed any more" if listed else "the tool is not among the workflow's tools",
    )


def _refused_arguments(call_id: CallId, problems: Sequence[Problem]) -> e.ToolCallFailed:
    where = "; ".join(f"{problem.path}: {problem.message}" for problem in problems[:5])
    return e.ToolCallFailed(
        call_id=call_id,
        attempt=0,
        error_class="validation",
        code="bad_arguments",
        message=where[:1_000],
        latency_us=0,
        worker="",
    )


def judge(run: Unfolding, call_id: CallId, rules: RunRules, now: Instant) -> None:
    """Apply policy to a requested call: dispatched, denied, or put before people."""
    call = run.active.calls[call_id]
    said = rules.judge(call, run.active, now)
    run.add(
        e.ToolCallJudged(
            call_id=call_id,
            verdict=said.verdict,
            rule_id=said.rule_id,
            policy_version=said.policy_version,
            reason=said.reason,
            obligations=said.obligations,
            risk=said.risk,
            places=dict(said.places),
            trial=said.trial,
        )
    )
    match said.verdict:
        case "allow":
            run.add(e.ToolCallDispatched(call_id=call_id, attempt=call.attempt + 1))
        case "deny":
            run.add(
                e.ToolCallDenied(
                    call_id=call_id,
                    by="policy",
                    rule_id=said.rule_id,
                    reason=said.reason,
                    replayed=call.replay is not None,
                )
            )
        case "require_approval":
            _ask_people(run, call.request, said, rules, now)


def _ask_people(run: Unfolding, requested: e.ToolCallRequested, said: Verdict, rules: RunRules, now: Instant) -> None:
    state = run.active
    tool = rules.tool(requested.tool)
    schema_hash = tool.schema_hash if tool else requested.schema_hash
    needed = said.approvals or ApprovalsNeeded()
    run.add(
        e.ToolCallApprovalRequested(
            call_id=requested.call_id,
            approval_id=ApprovalId(child_id("apr", state.run_id, state.numbered + 1)),
            digest=call_digest(requested, schema_hash, said.policy_version),
            count=needed.count,
            roles=needed.roles,
            deadline_at=now + timedelta(seconds=needed.deadline_s),
            escalations=_escalations(needed, now),
            on_expiry=needed.on_expiry,
            strong_sign_in=needed.strong_sign_in,
        )
    )


def _escalations(needed: ApprovalsNeeded, now: Instant) -> tuple[e.Escalation, ...]:
    """Those that come before the deadline, in the order of their times."""
    before = [each for each in needed.escalate if each.after_s < needed.deadline_s]
    ordered = sorted(before, key=lambda each: each.after_s)
    return tuple(e.Escalation(at=now + timedelta(seconds=each.after_s), roles=each.roles) for each in ordered)


def call_digest(requested: e.ToolCallRequested, schema_hash: str, policy_version: str) -> str:
    """SHA-256 over the canonical JSON of everything an approval is bound to; the schema is the tool's of now."""
    bound = {
        "tool": requested.tool,
        "schema_hash": schema_hash,
        "arguments": requested.arguments,
        "policy_version": policy_version,
        "call_id": requested.call_id,
    }
    return canonical_sha256(bound | ({"connection": requested.connection} if requested.connection else {}))
