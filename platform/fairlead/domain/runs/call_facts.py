"""How each fact about a call changes what is remembered of its run."""

from msgspec.structs import replace

from fairlead.domain.planning.seam import StepError, StepOutcome
from fairlead.domain.runs import events as e
from fairlead.domain.runs import undoing as u
from fairlead.domain.runs.settling import settle_call, with_call, with_effect, without
from fairlead.domain.runs.states import Active, Ask, Letter, OpenCall, Replay, request_counts


def requested(s: Active, event: e.ToolCallRequested) -> Active:
    calls_by_tool = s.calls_by_tool | {event.tool: s.calls_by_tool.get(event.tool, 0) + 1}
    return replace(
        s,
        calls=s.calls | {event.call_id: OpenCall(request=event, calls_by_tool=calls_by_tool)},
        open=s.open | {event.step: event.call_id},
        calls_by_tool=calls_by_tool,
        tool_calls_used=s.tool_calls_used + 1,
        steps_used=s.steps_used + 1,
        numbered=s.numbered + 1,
        edits=without(s.edits, event.step) if s.edits else s.edits,
        asked=_named(s.asked, event) if event.step in s.asks else s.asked,
    )


def _named(asked: dict[str, Ask], event: e.ToolCallRequested) -> dict[str, Ask]:
    """A fork makes the calls that were open anew, under its own ids."""
    ask_id, ask = next((ask_id, ask) for ask_id, ask in reversed(asked.items()) if ask.step == event.step)
    if ask.call_id == event.call_id:
        return asked
    return asked | {ask_id: Ask(event.call_id, ask.step, ask.tool, ask.asked_by)}


def judged(s: Active, event: e.ToolCallJudged) -> Active:
    call = replace(
        s.calls[event.call_id],
        phase="judged",
        policy_version=event.policy_version,
        rule_id=event.rule_id,
        reason=event.reason,
        obligations=event.obligations,
        places=event.places,
    )
    return with_call(s, call)


def dispatched(s: Active, event: e.ToolCallDispatched) -> Active:
    before = s.calls[event.call_id]
    call = replace(before, phase="dispatched", attempt=event.attempt, retry_at=None, missing=None, held=None)
    if before.attempt == 0 and request_counts(before):
        s = replace(s, made=s.made | {call.request.tool: s.made.get(call.request.tool, 0) + 1})
    return with_call(s, call)


def uncounted(s: Active, event: e.ToolCallUncounted) -> Active:
    call = s.calls.get(event.call_id)
    return s if call is None else with_call(s, replace(call, places={}))


def held(s: Active, event: e.ToolCallHeld) -> Active:
    call = s.calls[event.call_id]
    phase = "dispatched" if event.untouched and call.phase == "started" else call.phase
    return with_call(s, replace(call, held=event, phase=phase))


def started(s: Active, event: e.ToolCallStarted) -> Active:
    return with_call(s, replace(s.calls[event.call_id], phase="started"))


def approval_requested(s: Active, event: e.ToolCallApprovalRequested) -> Active:
    call = replace(s.calls[event.call_id], phase="awaiting_approval", approval=event, approved_by=(), fingerprint="")
    return replace(with_call(s, call), numbered=s.numbered + 1)


def amended(s: Active, event: e.ToolCallAmended) -> Active:
    call = s.calls[event.call_id]
    amended = replace(
        call,
        phase="requested",
        request=replace(call.request, arguments=event.arguments),
        approval=None,
        approved_by=(),
        fingerprint="",
        amended_by=tuple(dict.fromkeys((*call.amended_by, event.amended_by))),
    )
    return with_call(s, amended)


def approved(s: Active, event: e.ToolCallApproved) -> Active:
    call = replace(s.calls[event.call_id], phase="judged", approved_by=event.approved_by, fingerprint=event.fingerprint)
    return with_call(s, call)


def voided(s: Active, event: e.ToolCallApprovalVoided) -> Active:
    call = replace(s.calls[event.call_id], phase="judged", approval=None, approved_by=(), fingerprint="")
    return with_call(s, call)


def completed(s: Active, event: e.ToolCallCompleted) -> Active:
    call = s.calls[event.call_id]
    if call.undoable:
        unknown = event.settled == "person" and event.output is None
        s = with_effect(s, u.Effected(request=call.request, output=event.output, doubtful=unknown, key=call.key))
    if event.verifying:
        return with_call(s, replace(call, phase="verifying", output=event.output))
    return settle_call(s, event.call_id, StepOutcome(status="completed", output=event.output))


def verified(s: Active, event: e.ToolCallVerified) -> Active:
    call = s.calls[event.call_id]
    if event.verdict == "drifted" and call.request.on_mismatch != "continue":
        return with_call(s, replace(call, phase="drifted"))
    return settle_call(s, event.call_id, StepOutcome(status="completed", output=call.output))


def failed(s: Active, event: e.ToolCallFailed) -> Active:
    call = s.calls[event.call_id]
    call = replace(call, unclear=call.unclear or event.unclear)
    if event.retry_at is not None:
        s = replace(s, retries_used=s.retries_used + 1)
        return with_call(s, replace(call, phase="backing_off", retry_at=event.retry_at))
    error = StepError(error_class=event.error_class, code=event.code, message=event.message)
    s = _dead(s, call, event.code)
    return settle_call(_in_doubt(s, call), event.call_id, StepOutcome(status="failed", error=error))


def connection_awaited(s: Active, event: e.ToolCallConnectionAwaited) -> Active:
    call = s.calls[event.call_id]
    return with_call(s, replace(call, phase="awaiting_connection", missing=event, reconnects=call.reconnects + 1))


def unknown(s: Active, event: e.ToolCallOutcomeUnknown) -> Active:
    return with_call(s, replace(s.calls[event.call_id], phase="unknown"))


def denied(s: Active, event: e.ToolCallDenied) -> Active:
    error = StepError(error_class="policy", code=f"denied_by_{event.by}", message=event.reason)
    call = s.calls[event.call_id]
    if call.phase == "dispatched" and call.attempt == 1 and request_counts(call):
        s = replace(s, made=s.made | {call.request.tool: s.made.get(call.request.tool, 1) - 1})  # it never was
    s = _in_doubt(s, call)
    if call.request.step in s.asks:
        s = replace(s, refused_by=s.refused_by | {call.request.step: event.rule_id})
    if call.replay is not None:
        s = _dead(s, call, error.code)
    return settle_call(s, event.call_id, StepOutcome(status="denied", error=error))


def _dead(s: Active, call: OpenCall, code: str) -> Active:
    call_id = call.request.call_id
    known = s.letters.get(call_id)
    if known is None:
        letter = Letter(call=call, arguments=call.request.arguments, code=code)
    else:
        letter = replace(known, call=call, code=code, phase="open")
    return replace(s, letters=s.letters | {call_id: letter})


def edited(s: Active, event: e.ToolCallEdited) -> Active:
    letter = replace(s.letters[event.call_id], arguments=event.arguments, edited=True)
    return replace(s, letters=s.letters | {event.call_id: letter})


def replayed(s: Active, event: e.ToolCallReplayed) -> Active:
    letter = s.letters[event.call_id]
    if event.as_run is not None:
        letter = replace(letter, phase="replayed_as_run", as_run=event.as_run)
        return replace(s, letters=s.letters | {event.call_id: letter})
    call = OpenCall(
        request=replace(letter.call.request, arguments=letter.arguments),
        calls_by_tool=letter.call.calls_by_tool,
        attempt=letter.call.attempt,
        unclear=letter.call.unclear,
        replay=Replay(key=event.key, after=letter.call.attempt),
    )
    letter = replace(letter, phase="replaying", replays=letter.replays + 1)
    return replace(with_call(s, call), letters=s.letters | {event.call_id: letter})


def discarded(s: Active, event: e.ToolCallDiscarded) -> Active:
    return replace(s, letters=s.letters | {event.call_id: replace(s.letters[event.call_id], phase="discarded")})


def released(s: Active, event: e.ToolCallReleased) -> Active:
    return replace(s, calls=without(s.calls, event.call_id))


def _in_doubt(s: Active, call: OpenCall) -> Active:
    """A call that ends without an effect to speak of, though an attempt may have had one."""
    if not (call.unclear and call.undoable):
        return s
    return with_effect(s, u.Effected(request=call.request, doubtful=True, key=call.key))
