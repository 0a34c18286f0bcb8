"""Spans of calls: of models, of tools, of signatures that a call waits for, of undoing it.

A call has a span from the wish to the outcome; each attempt that went out is a span below it, and so is each approval.
Tokens and cost are those of attempts, so that a sum over spans counts nothing twice.
"""

from typing import Any

from fairlead.domain.runs import events as e
from fairlead.domain.tracing import conventions as c
from fairlead.domain.tracing.drawing import Drawing, code_of
from fairlead.domain.tracing.spans import Value


def draw_model_call(on: Drawing, event: Any) -> None:
    key: str = event.call_id
    match event:
        case e.ModelCallRequested():
            on.begin(key, f"model_call {event.route}".rstrip(), _asked(event))
        case e.ModelCallRouted():
            on.begin(_attempt(event), f"{c.CHAT} {event.model}", _routed(event), parent=key, kind="client")
        case e.ModelCallHeld():
            on.mark(key, "held", {"for": event.held_for})
        case e.ModelCallCompleted():
            _completed(on, event)
        case e.ModelCallAttemptFailed():
            found, error = _provider(event) | {c.COST: event.charged_usd_micros}, event.code or event.error_class
            on.draw(_attempt(event), _chat(event), event.latency_us, found, parent=key, error=error)
        case e.ModelCallFailed():
            on.end(key, event.code or event.error_class)
        case e.ModelCallRefused():
            on.end(key, event.code or "refused", {c.OUTCOME: f"refused_{event.by}"})
        case e.ModelCallReleased():
            on.end(key, attributes={c.OUTCOME: "released"})


def _asked(event: e.ModelCallRequested) -> dict[str, Value]:
    return {
        c.MODEL_CALL: event.call_id,
        c.PURPOSE: event.purpose,
        c.ROUTE: event.route,
        c.DOOR: event.door,
        c.STEP: event.step,
        c.PROMPT_NAME: event.prompt.name if event.prompt else "",
    }


def _routed(event: e.ModelCallRouted) -> dict[str, Value]:
    return _provider(event) | {c.REGION: event.region}


def _provider(event: Any) -> dict[str, Value]:
    return {
        c.OPERATION: c.CHAT,
        c.PROVIDER: event.provider,
        c.REQUEST_MODEL: event.model,
        c.MODEL_CALL: event.call_id,
        c.ATTEMPT: event.attempt,
    }


def _completed(on: Drawing, event: e.ModelCallCompleted) -> None:
    if event.cached:
        on.end(event.call_id, attributes={c.CACHED: event.cached, c.RESPONSE_MODEL: code_of(event.model)})
        return
    # The model that was asked is known from the attempt's beginning; this is the provider's name for it.
    found: dict[str, Value] = {name: value for name, value in _provider(event).items() if name != c.REQUEST_MODEL}
    found |= {c.RESPONSE_MODEL: code_of(event.model), c.FINISH_REASONS: (event.finish,), c.COST: event.cost_usd_micros}
    if event.first_token_us:
        found[c.FIRST_CHUNK_S] = event.first_token_us / 1_000_000
    if event.usage is not None:
        found |= _usage(event.usage)
    on.draw(_attempt(event), _chat(event), event.latency_us, found, parent=event.call_id)
    on.end(event.call_id)


def _usage(used: e.TokensUsed) -> dict[str, Value]:
    return {
        c.INPUT_TOKENS: used.input,
        c.OUTPUT_TOKENS: used.output,
        c.CACHE_READ_TOKENS: used.cached_input,
        c.CACHE_CREATION_TOKENS: used.cache_write,
        c.REASONING_TOKENS: used.reasoning,
    }


def _chat(event: Any) -> str:
    return f"{c.CHAT} {code_of(event.model)}"


def _attempt(event: Any) -> str:
    return f"{event.call_id}/{event.attempt}"


def draw_tool_call(on: Drawing, event: Any) -> None:
    key: str = event.call_id
    match event:
        case e.ToolCallRequested():
            on.begin(key, f"{c.EXECUTE_TOOL} {event.tool}", _wanted(event))
        case e.ToolCallAskRefused():
            found = {c.OPERATION: c.EXECUTE_TOOL, c.TOOL_CALL_ID: key, c.STEP: event.step}
            on.draw(key, c.EXECUTE_TOOL, 0, found, parent="run", kind="internal", error="unknown_tool")
        case e.ToolCallJudged():
            on.mark(key, "judged", {"verdict": event.verdict, "rule": event.rule_id})
        case e.ToolCallHeld():
            on.mark(key, "held", {"for": event.held_for})
        case e.ToolCallConnectionAwaited():
            on.mark(key, "connection_awaited", {"code": code_of(event.code)})
        case e.ToolCallOutcomeUnknown():
            on.mark(key, "outcome_unknown", {c.ATTEMPT: event.attempt})
        case e.ToolCallReleased():
            _approvals_over(on, key, "released")
            on.end(key, attributes={c.OUTCOME: "released"})
        case e.ToolCallDenied():
            _approvals_over(on, key, "denied")
            on.end(key, f"denied_{event.by}", {c.OUTCOME: "denied"})


def draw_attempt(on: Drawing, event: Any) -> None:
    """Of a tool, its outcome or what was read back of it."""
    key: str = event.call_id
    found: dict[str, Value] = {c.TOOL_CALL_ID: key}
    match event:
        case e.ToolCallCompleted():
            if event.settled == "call" and event.cached is None:
                found |= {c.ATTEMPT: event.attempt, c.COST: event.cost_usd_micros}
                on.draw(_attempt(event), "attempt", event.latency_us, found, parent=key)
            on.set(key, {c.OUTCOME: "completed", c.CACHED: "result" if event.cached else ""})
            if not event.verifying:
                on.end(key)
        case e.ToolCallVerified():
            error = "readback_drifted" if event.verdict == "drifted" else ""
            on.draw(f"{key}/verify", "read_back", event.latency_us, found, parent=key, error=error)
            on.end(key, error)
        case e.ToolCallFailed():
            error = event.code or event.error_class
            found |= {c.ATTEMPT: event.attempt, c.COST: event.charged_usd_micros}
            on.draw(_attempt(event), "attempt", event.latency_us, found, parent=key, error=error)
            if event.retry_at is None:
                on.end(key, error, {c.OUTCOME: "failed"})


def _wanted(event: e.ToolCallRequested) -> dict[str, Value]:
    return {
        c.OPERATION: c.EXECUTE_TOOL,
        c.TOOL_NAME: event.tool,
        c.TOOL_CALL_ID: event.call_id,
        c.TOOL_TYPE: "extension",
        c.TOOL_VERSION: event.tool_version,
        c.EFFECT: str(event.effect),
        c.STEP: event.step,
    }


def draw_approval(on: Drawing, event: Any) -> None:
    match event:
        case e.ToolCallApprovalRequested():
            asked = {c.APPROVAL: event.approval_id, c.TOOL_CALL_ID: event.call_id}
            on.begin(event.approval_id, "approval", asked, parent=event.call_id, waits=True)
        case e.ToolCallApproved():
            granted: dict[str, Value] = {c.OUTCOME: "granted", c.SIGNATURES: len(event.approved_by)}
            on.end(event.approval_id, attributes=granted)
        case e.ToolCallAmended():
            on.end(event.approval_id, attributes={c.OUTCOME: "amended"})
        case e.ToolCallApprovalVoided():
            on.mark(event.call_id, "approval_voided", {c.APPROVAL: event.approval_id})
            on.end(event.approval_id, attributes={c.OUTCOME: "voided"})


def _approvals_over(on: Drawing, call_id: str, outcome: str) -> None:
    for key in on.open_below(call_id):
        on.end(key, attributes={c.OUTCOME: outcome})


def draw_undoing(on: Drawing, event: Any) -> None:
    key, found = f"{event.call_id}/undo", {c.TOOL_CALL_ID: event.call_id}
    match event:
        case e.ToolCallCompensated():
            found[c.OUTCOME] = event.how
            on.draw(f"{key}/{event.attempt}", "undo", event.latency_us, found, parent=event.call_id)
        case e.CompensationFailed():
            error = event.code or event.error_class
            on.draw(f"{key}/{event.attempt}", "undo", event.latency_us, found, parent=event.call_id, error=error)
        case e.CompensationLeft():
            found[c.OUTCOME] = "left"
            on.draw(f"{key}/left", "undo", 0, found, parent=event.call_id, kind="internal", error="left")
