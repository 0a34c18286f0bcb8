"""What is remembered of a run, and how each fact changes it.

No rules here: whether something may happen was decide's question.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar, cast

from fairlead_sdk.contract import Idempotency
from fairlead_tenants.ids import PrincipalId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.ids import CallId, QuestionId, RunId
from fairlead.domain.instant import Instant
from fairlead.domain.planning.seam import StepError, StepOutcome
from fairlead.domain.policy.document import NO_OBLIGATIONS, Obligations
from fairlead.domain.runs import events as e
from fairlead.domain.runs import undoing as u

K = TypeVar("K")
V = TypeVar("V")

Phase = Literal[
    "requested",
    "judged",
    "awaiting_approval",
    "dispatched",
    "started",
    "backing_off",
    "unknown",
    "verifying",
    "drifted",
    "awaiting_connection",
]
LetterPhase = Literal["open", "replaying", "done", "replayed_as_run", "discarded"]
Outcome = Literal["completed", "failed", "impossible", "cancelled", "capped", "expired"]


class Replay(Struct, frozen=True, kw_only=True):
    """The call is made once more, `after` so many attempts, and its step does not wait for it."""

    key: str
    after: int


class OpenCall(Struct, frozen=True, kw_only=True):
    """A call whose step has no outcome yet. `calls_by_tool` is as it was when the call was requested, with this one, so
    that judging it again later finds the same facts. `output` is what it gave, until it has been read back.
    `unclear`: an attempt had no answer, so it may have taken effect. `reconnects` counts the attempts that found no
    access to the account."""

    request: e.ToolCallRequested
    calls_by_tool: dict[str, int]
    phase: Phase = "requested"
    attempt: int = 0
    policy_version: str = ""
    rule_id: str = ""
    reason: str = ""
    approval: e.ToolCallApprovalRequested | None = None
    approved_by: tuple[PrincipalId, ...] = ()
    fingerprint: str = ""
    retry_at: Instant | None = None
    output: Any = None
    unclear: bool = False
    missing: e.ToolCallConnectionAwaited | None = None
    reconnects: int = 0
    held: e.ToolCallHeld | None = None
    replay: Replay | None = None
    obligations: Obligations = NO_OBLIGATIONS
    amended_by: tuple[PrincipalId, ...] = ()
    places: dict[str, str] = {}

    @property
    def undoable(self) -> bool:
        """Whether it can have an effect that the run would undo."""
        return self.request.compensate and not self.obligations.dry_run

    @property
    def key(self) -> str:
        """What the counterpart knows the call by."""
        return self.replay.key if self.replay is not None else self.request.call_id

    @property
    def tried(self) -> int:
        """Attempts that count, this one included."""
        return self.attempt - self.reconnects - (self.replay.after if self.replay is not None else 0)


class Letter(Struct, frozen=True, kw_only=True):
    """A call that failed for good. `arguments` are what it would be made with now."""

    call: OpenCall
    arguments: Any
    code: str
    phase: LetterPhase = "open"
    edited: bool = False
    replays: int = 0
    as_run: RunId | None = None


class NotStarted(Struct, frozen=True):
    pass


class Active(Struct, frozen=True, kw_only=True):
    """A run under way. `open` maps each step in flight to what it waits for (a call, a question, itself). `effects` are
    what it would undo if it ended now, oldest first; `letters` the calls that failed for good; `edits` the arguments
    that a person has given to steps that are still to come."""

    run_id: RunId
    start: e.RunStarted
    limits: e.RunLimits
    deadline_at: Instant
    parent: e.RunForked | None = None
    outcomes: dict[str, StepOutcome] = {}
    choices: dict[str, Any] = {}
    open: dict[str, str] = {}
    calls: dict[CallId, OpenCall] = {}
    questions: dict[QuestionId, e.QuestionAsked] = {}
    signals_awaited: dict[str, e.SignalAwaited] = {}
    times_awaited: dict[str, e.TimeAwaited] = {}
    early_signals: tuple[e.SignalReceived, ...] = ()
    signal_ids: frozenset[str] = frozenset()
    calls_by_tool: dict[str, int] = {}
    made: dict[str, int] = {}  # by tool, calls that went out
    tool_calls_used: int = 0
    steps_used: int = 0
    numbered: int = 0  # child ids given out
    paused: str | None = None
    paused_by: str = ""  # the switch, where one did
    resumed: int = 0  # how often
    limit_reached: e.LimitReached | None = None
    effects: tuple[u.Effected, ...] = ()
    letters: dict[CallId, Letter] = {}
    edits: dict[str, Any] = {}


class Ended(Struct, frozen=True, kw_only=True):
    """Terminal. `last` keeps what was in flight, whose outcome is still recorded when it comes. What is undone
    afterwards is in `undoing`; the outcome stays what it is."""

    outcome: Outcome
    ending: e.RunEnding
    last: Active
    undoing: u.Undoing = u.Undoing()


class Gone(Struct, frozen=True, kw_only=True):
    """Terminal. Its content is removed, or is about to be; the id stays taken."""

    expired: e.RunContentExpired


RunState = NotStarted | Active | Ended | Gone


def is_over(state: RunState) -> bool:
    """Nothing more happens to it by itself."""
    return isinstance(state, Gone) or (isinstance(state, Ended) and not state.undoing.is_open)


def initial() -> RunState:
    return NotStarted()


def subject(state: RunState, facts: Iterable[e.RunEvent]) -> str:
    """Whose content it is. A fork's is its parent's."""
    known = fold(state, list(facts)[:1]) if isinstance(state, NotStarted) else state
    match known:
        case Active(start=start) | Ended(last=Active(start=start)):
            return start.data_subject
    return ""


def fold(state: RunState, facts: Iterable[e.RunEvent]) -> RunState:
    for fact in facts:
        state = evolve(state, fact)
    return state


def evolve(state: RunState, event: e.RunEvent) -> RunState:
    """Apply a fact. What went before the expiry of a run may be there in part, or not at all."""
    if isinstance(event, e.RunContentExpired):
        return Gone(expired=event)
    match state:
        case Active():
            if ending := ENDINGS.get(type(event)):
                return Ended(outcome=ending, ending=cast(e.RunEnding, event), last=state)
            return _ACTIVE[type(event)](state, event)
        case Ended():
            return _afterwards(state, event)
        case NotStarted():
            return _begin(event)
        case Gone():
            return state


def _afterwards(state: Ended, event: e.RunEvent) -> Ended:
    """The late outcome of a call that was in flight, or a step of the undoing."""
    match event:
        case e.ToolCallUncounted():
            return replace(state, last=_uncounted(state.last, event))
        case e.ToolCallEdited() | e.ToolCallReplayed() | e.ToolCallDiscarded():
            return replace(state, last=_ACTIVE[type(event)](state.last, event))
        case e.CompensationPlanned():
            return replace(state, undoing=u.planned(state.undoing, event, effects_of(state.last)))
        case e.ToolCallCompleted() | e.ToolCallFailed():
            last = _ACTIVE[type(event)](state.last, event)
            return replace(state, last=last, undoing=u.heard(state.undoing, event, effects_of(last)))
        case e.QuestionAsked() | e.QuestionAnswered() | e.QuestionExpired():
            last = _ACTIVE[type(event)](state.last, event)
            return replace(state, last=last, undoing=u.moved(state.undoing, event))
        case _:
            return replace(state, undoing=u.moved(state.undoing, event))


def effects_of(run: Active) -> dict[CallId, u.Effected]:
    """What the run did and may have done that can be undone, oldest first."""
    known = {effect.request.call_id: effect for effect in run.effects}
    doubtful = {
        call_id: u.Effected(request=call.request, doubtful=True, key=call.key)
        for call_id, call in run.calls.items()
        if call.undoable and call_id not in known and _may_have_happened(call)
    }
    return known | doubtful


def _may_have_happened(call: OpenCall) -> bool:
    """A call that cannot be repeated is marked before it is begun; any other may have been begun unseen."""
    unseen = call.phase == "dispatched" and call.request.idempotency is not Idempotency.NONE
    return unseen or call.unclear or call.phase in ("started", "unknown")


def _begin(event: e.RunEvent) -> Active:
    match event:
        case e.RunStarted():
            return Active(run_id=event.run_id, start=event, limits=event.limits, deadline_at=event.deadline_at)
        case e.RunForked():
            inherited = fold(NotStarted(), event.inherited)
            assert isinstance(inherited, Active), "only a run under way can be inherited"
            return _disown(inherited, event)
    raise AssertionError("a run begins with run.started or run.forked")


def requesters(run: Active) -> tuple[PrincipalId, ...]:
    """Whoever asked for what this run does: none of them may approve it."""
    asked, fork = [run.start.started_by, run.start.agent_principal_id], run.parent
    while isinstance(fork, e.RunForked):
        asked.append(fork.forked_by)
        fork = fork.inherited[0] if isinstance(fork.inherited[0], e.RunForked) else None
    return tuple(dict.fromkeys(asked))


def _disown(parent: Active, event: e.RunForked) -> Active:
    """What the parent had in flight stays the parent's; the child plans those steps anew and uses its own room. A write
    that is only to be read back has happened. What the parent did is the parent's to undo."""
    for call_id, call in parent.calls.items():
        if call.phase in ("verifying", "drifted"):
            parent = _settle_call(parent, call_id, StepOutcome(status="completed", output=call.output))
    in_flight = Counter(call.request.tool for call in parent.calls.values())
    return replace(
        parent,
        run_id=event.run_id,
        parent=event,
        deadline_at=event.deadline_at,
        calls_by_tool={tool: count - in_flight[tool] for tool, count in parent.calls_by_tool.items()},
        tool_calls_used=parent.tool_calls_used - len(parent.calls),
        steps_used=parent.steps_used - len(parent.open),
        open={},
        calls={},
        questions={},
        signals_awaited={},
        times_awaited={},
        paused=None,
        limit_reached=None,
        effects=(),
        letters={},
        edits=parent.edits | event.edits,
    )


def _choice(s: Active, event: e.ChoiceMade) -> Active:
    return replace(s, choices=s.choices | {event.step: event.choice})


def _requested(s: Active, event: e.ToolCallRequested) -> Active:
    calls_by_tool = s.calls_by_tool | {event.tool: s.calls_by_tool.get(event.tool, 0) + 1}
    return replace(
        s,
        calls=s.calls | {event.call_id: OpenCall(request=event, calls_by_tool=calls_by_tool)},
        open=s.open | {event.step: event.call_id},
        calls_by_tool=calls_by_tool,
        tool_calls_used=s.tool_calls_used + 1,
        steps_used=s.steps_used + 1,
        numbered=s.numbered + 1,
        edits=_without(s.edits, event.step) if s.edits else s.edits,
    )


def _with_call(s: Active, call: OpenCall) -> Active:
    return replace(s, calls=s.calls | {call.request.call_id: call})


def _judged(s: Active, event: e.ToolCallJudged) -> Active:
    call = replace(
        s.calls[event.call_id],
        phase="judged",
        policy_version=event.policy_version,
        rule_id=event.rule_id,
        reason=event.reason,
        obligations=event.obligations,
        places=event.places,
    )
    return _with_call(s, call)


def _dispatched(s: Active, event: e.ToolCallDispatched) -> Active:
    before = s.calls[event.call_id]
    call = replace(before, phase="dispatched", attempt=event.attempt, retry_at=None, missing=None, held=None)
    if before.attempt == 0 and request_counts(before):
        s = replace(s, made=s.made | {call.request.tool: s.made.get(call.request.tool, 0) + 1})
    return _with_call(s, call)


def request_counts(call: OpenCall) -> bool:
    """Whether the call is among those that the run has made. What is only shown is not, nor what was only replayed."""
    return not call.obligations.dry_run and call.replay is None


def _uncounted(s: Active, event: e.ToolCallUncounted) -> Active:
    call = s.calls.get(event.call_id)
    return s if call is None else _with_call(s, replace(call, places={}))


def _held(s: Active, event: e.ToolCallHeld) -> Active:
    call = s.calls[event.call_id]
    phase = "dispatched" if event.untouched and call.phase == "started" else call.phase
    return _with_call(s, replace(call, held=event, phase=phase))


def _started(s: Active, event: e.ToolCallStarted) -> Active:
    return _with_call(s, replace(s.calls[event.call_id], phase="started"))


def _approval_requested(s: Active, event: e.ToolCallApprovalRequested) -> Active:
    call = replace(s.calls[event.call_id], phase="awaiting_approval", approval=event, approved_by=(), fingerprint="")
    return replace(_with_call(s, call), numbered=s.numbered + 1)


def _amended(s: Active, event: e.ToolCallAmended) -> Active:
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
    return _with_call(s, amended)


def _approved(s: Active, event: e.ToolCallApproved) -> Active:
    call = replace(s.calls[event.call_id], phase="judged", approved_by=event.approved_by, fingerprint=event.fingerprint)
    return _with_call(s, call)


def _voided(s: Active, event: e.ToolCallApprovalVoided) -> Active:
    call = replace(s.calls[event.call_id], phase="judged", approval=None, approved_by=(), fingerprint="")
    return _with_call(s, call)


def _completed(s: Active, event: e.ToolCallCompleted) -> Active:
    call = s.calls[event.call_id]
    if call.undoable:
        unknown = event.settled == "person" and event.output is None
        s = _with_effect(s, u.Effected(request=call.request, output=event.output, doubtful=unknown, key=call.key))
    if event.verifying:
        return _with_call(s, replace(call, phase="verifying", output=event.output))
    return _settle_call(s, event.call_id, StepOutcome(status="completed", output=event.output))


def _verified(s: Active, event: e.ToolCallVerified) -> Active:
    call = s.calls[event.call_id]
    if event.verdict == "drifted" and call.request.on_mismatch != "continue":
        return _with_call(s, replace(call, phase="drifted"))
    return _settle_call(s, event.call_id, StepOutcome(status="completed", output=call.output))


def _failed(s: Active, event: e.ToolCallFailed) -> Active:
    call = s.calls[event.call_id]
    call = replace(call, unclear=call.unclear or event.unclear)
    if event.retry_at is not None:
        return _with_call(s, replace(call, phase="backing_off", retry_at=event.retry_at))
    error = StepError(error_class=event.error_class, code=event.code, message=event.message)
    s = _dead(s, call, event.code)
    return _settle_call(_in_doubt(s, call), event.call_id, StepOutcome(status="failed", error=error))


def _connection_awaited(s: Active, event: e.ToolCallConnectionAwaited) -> Active:
    call = s.calls[event.call_id]
    return _with_call(s, replace(call, phase="awaiting_connection", missing=event, reconnects=call.reconnects + 1))


def _unknown(s: Active, event: e.ToolCallOutcomeUnknown) -> Active:
    return _with_call(s, replace(s.calls[event.call_id], phase="unknown"))


def _denied(s: Active, event: e.ToolCallDenied) -> Active:
    error = StepError(error_class="policy", code=f"denied_by_{event.by}", message=event.reason)
    call = s.calls[event.call_id]
    if call.phase == "dispatched" and call.attempt == 1 and request_counts(call):
        s = replace(s, made=s.made | {call.request.tool: s.made.get(call.request.tool, 1) - 1})  # it never was
    s = _in_doubt(s, call)
    if call.replay is not None:
        s = _dead(s, call, error.code)
    return _settle_call(s, event.call_id, StepOutcome(status="denied", error=error))


def _dead(s: Active, call: OpenCall, code: str) -> Active:
    call_id = call.request.call_id
    known = s.letters.get(call_id)
    if known is None:
        letter = Letter(call=call, arguments=call.request.arguments, code=code)
    else:
        letter = replace(known, call=call, code=code, phase="open")
    return replace(s, letters=s.letters | {call_id: letter})


def _edited(s: Active, event: e.ToolCallEdited) -> Active:
    letter = replace(s.letters[event.call_id], arguments=event.arguments, edited=True)
    return replace(s, letters=s.letters | {event.call_id: letter})


def _replayed(s: Active, event: e.ToolCallReplayed) -> Active:
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
    return replace(_with_call(s, call), letters=s.letters | {event.call_id: letter})


def _discarded(s: Active, event: e.ToolCallDiscarded) -> Active:
    return replace(s, letters=s.letters | {event.call_id: replace(s.letters[event.call_id], phase="discarded")})


def _released(s: Active, event: e.ToolCallReleased) -> Active:
    return replace(s, calls=_without(s.calls, event.call_id))


def _in_doubt(s: Active, call: OpenCall) -> Active:
    """A call that ends without an effect to speak of, though an attempt may have had one."""
    if not (call.unclear and call.undoable):
        return s
    return _with_effect(s, u.Effected(request=call.request, doubtful=True, key=call.key))


def _with_effect(s: Active, effect: u.Effected) -> Active:
    return replace(s, effects=(*s.effects, effect))


def _settle_call(s: Active, call_id: CallId, outcome: StepOutcome) -> Active:
    call = s.calls[call_id]
    s = replace(s, calls=_without(s.calls, call_id))
    if call.replay is None:
        return _settle_step(s, call.request.step, outcome)
    if outcome.status != "completed":
        return s
    return replace(s, letters=s.letters | {call_id: replace(s.letters[call_id], phase="done")})


def _settle_step(s: Active, step: str, outcome: StepOutcome) -> Active:
    return replace(s, open=_without(s.open, step), outcomes=s.outcomes | {step: outcome})


def _asked(s: Active, event: e.QuestionAsked) -> Active:
    asked = replace(s, questions=s.questions | {event.question_id: event}, numbered=s.numbered + 1)
    if event.purpose != "step":
        return asked
    return replace(asked, open=s.open | {event.step: event.question_id}, steps_used=s.steps_used + 1)


def _answered(s: Active, event: e.QuestionAnswered) -> Active:
    question = s.questions[event.question_id]
    s = replace(s, questions=_without(s.questions, event.question_id))
    if question.purpose == "mismatch":
        return _kept(s, question.step, event.answer)
    if question.purpose != "step":
        return s
    return _settle_step(s, question.step, StepOutcome(status="completed", output=event.answer))


def _kept(s: Active, step: str, answer: Any) -> Active:
    """What a person says of a call that is not as it was read back; if it is not kept, the end of the run follows."""
    if answer["decision"] != "keep":
        return s
    call = next(call for call in s.calls.values() if (call.request.step, call.phase) == (step, "drifted"))
    output = answer.get("output", call.output)
    return _settle_call(s, call.request.call_id, StepOutcome(status="completed", output=output))


def _question_expired(s: Active, event: e.QuestionExpired) -> Active:
    question = s.questions[event.question_id]
    s = replace(s, questions=_without(s.questions, event.question_id))
    return _timed_out(s, question.step) if question.purpose == "step" else s


def _timed_out(s: Active, step: str) -> Active:
    error = StepError(error_class="timeout", code="timed_out", message="nobody answered in time")
    return _settle_step(s, step, StepOutcome(status="timed_out", error=error))


def _signal_awaited(s: Active, event: e.SignalAwaited) -> Active:
    for early in s.early_signals:
        if early.name == event.name:
            s = replace(
                s, early_signals=tuple(x for x in s.early_signals if x is not early), steps_used=s.steps_used + 1
            )
            return _settle_step(s, event.step, StepOutcome(status="completed", output=early.payload))
    return replace(
        s,
        signals_awaited=s.signals_awaited | {event.step: event},
        open=s.open | {event.step: event.name},
        steps_used=s.steps_used + 1,
    )


def _signal_received(s: Active, event: e.SignalReceived) -> Active:
    s = replace(s, signal_ids=s.signal_ids | {event.signal_id})
    waiting = [step for step, awaited in s.signals_awaited.items() if awaited.name == event.name]
    if not waiting:
        return replace(s, early_signals=(*s.early_signals, event))
    for step in waiting:
        s = replace(s, signals_awaited=_without(s.signals_awaited, step))
        s = _settle_step(s, step, StepOutcome(status="completed", output=event.payload))
    return s


def _signal_timed_out(s: Active, event: e.SignalTimedOut) -> Active:
    return _timed_out(replace(s, signals_awaited=_without(s.signals_awaited, event.step)), event.step)


def _time_awaited(s: Active, event: e.TimeAwaited) -> Active:
    return replace(
        s,
        times_awaited=s.times_awaited | {event.step: event},
        open=s.open | {event.step: "time"},
        steps_used=s.steps_used + 1,
    )


def _time_elapsed(s: Active, event: e.TimeElapsed) -> Active:
    s = replace(s, times_awaited=_without(s.times_awaited, event.step))
    return _settle_step(s, event.step, StepOutcome(status="completed", output=None))


def _limit_reached(s: Active, event: e.LimitReached) -> Active:
    return replace(s, limit_reached=event)


def _limit_raised(s: Active, event: e.LimitRaised) -> Active:
    return replace(s, limits=replace(s.limits, **{event.limit: event.allowed}), limit_reached=None)


def _repaired(s: Active, event: e.StepRepaired) -> Active:
    if event.repair == "retried":  # the same call goes out again, under the same key
        return replace(s, questions={key: asked for key, asked in s.questions.items() if asked.step != event.step})
    s = _forget(s, event.step)
    status: Literal["skipped", "completed"] = "skipped" if event.repair == "skipped" else "completed"
    return _settle_step(s, event.step, StepOutcome(status=status, output=event.output))


def _forget(s: Active, step: str) -> Active:
    """Nothing is in flight for this step any more."""
    calls = {key: call for key, call in s.calls.items() if call.request.step != step}
    questions = {key: asked for key, asked in s.questions.items() if asked.step != step}
    return replace(
        s,
        calls=calls,
        questions=questions,
        open=_without(s.open, step),
        signals_awaited=_without(s.signals_awaited, step),
        times_awaited=_without(s.times_awaited, step),
    )


def _unmoved(s: Active, _: e.RunEvent) -> Active:
    return s


def _paused(s: Active, event: e.RunPaused) -> Active:
    return replace(s, paused=event.reason, paused_by=event.switch)


def _resumed(s: Active, _: e.RunResumed) -> Active:
    return replace(s, paused=None, paused_by="", resumed=s.resumed + 1)


def _without(mapping: dict[K, V], key: K) -> dict[K, V]:
    return {k: v for k, v in mapping.items() if k != key}


_ACTIVE: dict[type[e.RunEvent], Callable[[Active, Any], Active]] = {  # dispatch by type: a match of 26 cases is slow
    e.ChoiceMade: _choice,
    e.ToolCallRequested: _requested,
    e.ToolCallJudged: _judged,
    e.ToolCallUncounted: _uncounted,
    e.ToolCallDispatched: _dispatched,
    e.ToolCallHeld: _held,
    e.ToolCallStarted: _started,
    e.ToolCallCompleted: _completed,
    e.ToolCallVerified: _verified,
    e.ToolCallFailed: _failed,
    e.ToolCallConnectionAwaited: _connection_awaited,
    e.ToolCallOutcomeUnknown: _unknown,
    e.ToolCallDenied: _denied,
    e.ToolCallReleased: _released,
    e.ToolCallEdited: _edited,
    e.ToolCallReplayed: _replayed,
    e.ToolCallDiscarded: _discarded,
    e.ToolCallApprovalRequested: _approval_requested,
    e.ToolCallAmended: _amended,
    e.ToolCallApproved: _approved,
    e.ToolCallApprovalVoided: _voided,
    e.QuestionAsked: _asked,
    e.QuestionAnswered: _answered,
    e.QuestionExpired: _question_expired,
    e.SignalAwaited: _signal_awaited,
    e.SignalReceived: _signal_received,
    e.SignalTimedOut: _signal_timed_out,
    e.TimeAwaited: _time_awaited,
    e.TimeElapsed: _time_elapsed,
    e.LimitReached: _limit_reached,
    e.LimitRaised: _limit_raised,
    e.StepRepaired: _repaired,
    e.IncidentReported: _unmoved,
    e.RunPaused: _paused,
    e.RunResumed: _resumed,
}
ENDINGS: dict[type, Outcome] = {
    e.RunCompleted: "completed",
    e.RunFailed: "failed",
    e.RunImpossible: "impossible",
    e.RunCancelled: "cancelled",
    e.RunCapped: "capped",
    e.RunExpired: "expired",
}
