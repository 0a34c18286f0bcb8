"""The answer to each command: what happens, as facts. Changes nothing, reads no clock.

Asking twice is not an error: a stale alarm, a second report of an outcome, a signal already seen give no facts.
Effects that happened are recorded even after the run has ended; the log must say so.
"""

from typing import assert_never

from msgspec.structs import replace

from fairlead.domain.ids import CallId, ModelCallId, QuestionId
from fairlead.domain.instant import Instant
from fairlead.domain.redaction import redact, redact_text
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import events as e
from fairlead.domain.runs.advance import RunRules, Unfolding, advance
from fairlead.domain.runs.errors import ForkPointInvalid, NoSuchRun, RunAlreadyExists, RunContentGone, RunStillOpen
from fairlead.domain.runs.folding import fold
from fairlead.domain.runs.interventions import intervene
from fairlead.domain.runs.letters import handle_letter
from fairlead.domain.runs.outcomes import move_call, record_outcome, restore_connection
from fairlead.domain.runs.outside import hear_agent
from fairlead.domain.runs.places import give_back
from fairlead.domain.runs.readback import record_verdict
from fairlead.domain.runs.sagas import go_on_undoing, record_undo, undo_is_due, undo_with_access
from fairlead.domain.runs.states import Active, Ended, Gone, NotStarted, OpenCall, RunState
from fairlead.domain.runs.thinking import answer_too_large, due, lost_at, think


def decide(command: c.RunCommand, state: RunState, rules: RunRules) -> list[e.RunEvent]:
    """Say what happens. Raises the errors of runs/errors.py and Invalid for an answer that breaks its schema."""
    return unfolded(command, state, rules)[0]


def unfolded(command: c.RunCommand, state: RunState, rules: RunRules) -> tuple[list[e.RunEvent], RunState]:
    """The same, with the state that it leads to: what follows was decided on that."""
    run = Unfolding(state)
    if isinstance(command, c.CutShort):
        _answer_to(command.command, run, rules)
        if run.facts and isinstance(run.state, Active):
            run.add(e.RunFailed(code="decision_too_large", message="what follows is more than one commit can hold"))
    else:
        _answer_to(command, run, rules)
        if run.facts and isinstance(run.state, Active):
            go_on(run, rules, command.now)
    give_back(state, run)
    if run.facts and isinstance(run.state, Ended):
        go_on_undoing(run, command.now)
    return run.facts, run.state


def smaller(command: c.RunCommand) -> c.RunCommand | None:
    """What to decide instead when a decision does not fit into one commit; None: refuse the command.

    What has happened outside is recorded in any case; only then is an output given up, and never an input.
    """
    match command:
        case c.StartRun() | c.ForkRun() | c.AskCall() | c.FinishRun() | c.BeginModelCall():
            return None
        case c.CutShort(command=c.RecordOutcome(outcome=c.CallSucceeded()) as report):
            message = "the call was made; its output is more than one commit can hold"
            erred = c.CallErred(error_class="permanent", code="output_too_large", message=message)
            return replace(report, outcome=erred)
        case c.CutShort(command=c.RecordModelAnswer() as answered):
            return answer_too_large(answered)
        case c.CutShort():
            return None
        case _:
            return c.CutShort(command=command, now=command.now)


def _answer_to(command: c.RunCommand, run: Unfolding, rules: RunRules) -> None:
    if isinstance(run.state, Gone) or isinstance(command, c.ExpireRun):
        _expire(command, run)
    elif isinstance(command, c.Thinking):
        if isinstance(run.state, NotStarted):
            raise NoSuchRun("no such run")
        think(command, run, rules)
    else:
        _take(command, run, rules)


def _take(command: c.Plain, run: Unfolding, rules: RunRules) -> None:
    state = run.state
    match command:
        case c.StartRun() | c.ForkRun():
            _begin(command, run)
        case _ if isinstance(state, NotStarted):
            raise NoSuchRun("no such run")
        case c.RecordOutcome() | c.RecordVerdict() | c.RecordUndo() | c.ConnectionRestored():
            _take_report(command, run)
        case (
            c.MarkStarted()
            | c.HoldCall()
            | c.DenyCall()
            | c.RecordApproval()
            | c.RecordRefusal()
            | c.AmendCall()
            | c.VoidApproval()
        ):
            move_call(command, run, rules)
        case c.FireAlarm():
            _fire(command, run)
        case c.EditLetter() | c.ReplayLetter() | c.DiscardLetter():
            handle_letter(command, run, rules)
        case (c.AnswerQuestion() | c.SendSignal() | c.RepairStep()) | (
            c.PauseRun() | c.ResumeRun() | c.SuspendRun() | c.ReleaseRun() | c.CancelRun()
        ):
            intervene(command, run, rules)
        case c.AskCall() | c.WithdrawCall() | c.FinishRun() | c.GiveUpRun() | c.FailRun():
            hear_agent(command, run, rules)
        case c.CutShort() | c.ExpireRun():
            raise AssertionError("nothing is cut short twice, and an expiry not at all")
        case _:
            assert_never(command)


def _expire(command: c.RunCommand, run: Unfolding) -> None:
    """An alarm or an expiry that comes late is none; whoever asks anything else of a run that is gone is told."""
    match run.state, command:
        case Gone(), c.FireAlarm() | c.ExpireRun():
            pass
        case Gone(expired=expired), _:
            raise RunContentGone(expired.run_id)
        case NotStarted(), _:
            raise NoSuchRun("no such run")
        case Ended(undoing=undoing), c.ExpireRun(expired=expired) if not undoing.is_open:
            run.add(expired)
        case _:
            raise RunStillOpen("the run is still open")


def _take_report(
    command: c.RecordOutcome | c.RecordVerdict | c.RecordUndo | c.ConnectionRestored, run: Unfolding
) -> None:
    match command:
        case c.ConnectionRestored():
            restore_connection(command, run)
            undo_with_access(command, run)
        case c.RecordOutcome():
            record_outcome(command, run)
        case c.RecordVerdict():
            record_verdict(command, run)
        case c.RecordUndo():
            record_undo(command, run)


def go_on(run: Unfolding, rules: RunRules, now: Instant) -> None:
    """What follows by itself once something has happened to a run that is under way."""
    if now >= run.active.deadline_at:
        run.add(e.RunExpired(deadline_at=run.active.deadline_at))
    else:
        advance(run, rules, now)


def _begin(command: c.StartRun | c.ForkRun, run: Unfolding) -> None:
    match command:
        case c.StartRun():
            _start(command, run)
        case c.ForkRun():
            _fork(command, run)


def _start(command: c.StartRun, run: Unfolding) -> None:
    match run.state:
        case NotStarted():
            given, labels = redact(command.started.input)[0], redact(command.started.labels)[0]
            run.add(replace(command.started, input=given, labels=labels))
        case Active(parent=parent, start=start) | Ended(last=Active(parent=parent, start=start)):
            if parent is not None or start.workflow_hash != command.started.workflow_hash:
                raise RunAlreadyExists("a run of this id was started otherwise")


def _fork(command: c.ForkRun, run: Unfolding) -> None:
    match run.state:
        case Active(parent=parent) | Ended(last=Active(parent=parent)):
            made = (command.parent_run_id, command.parent_version)
            if parent is None or (parent.parent_run_id, parent.parent_version) != made:
                raise RunAlreadyExists("a run of this id was started otherwise")
            return
    if not command.inherited or not isinstance(fold(NotStarted(), command.inherited), Active):
        raise ForkPointInvalid(f"version {command.parent_version} is not a point within the parent's life")
    run.add(
        e.RunForked(
            run_id=command.run_id,
            parent_run_id=command.parent_run_id,
            parent_version=command.parent_version,
            inherited=command.inherited,
            forked_by=command.forked_by,
            reason=redact_text(command.reason),
            started_at=command.now,
            deadline_at=command.deadline_at,
            edits=command.edits,
        )
    )


def _fire(command: c.FireAlarm, run: Unfolding) -> None:
    state = run.state
    if command.now < command.alarm.due_at:
        return
    if isinstance(state, Active):
        run.add(*_rung(command.alarm, state, command.now))
    elif isinstance(state, Ended) and command.alarm.kind == "undo":
        run.add(*undo_is_due(command.alarm, state))


def _rung(alarm: c.Alarm, state: Active, now: Instant) -> list[e.RunEvent]:
    match alarm.kind:
        case "retry":
            resumed = due(state.model_calls.get(ModelCallId(alarm.key)), alarm.due_at)
            return resumed or _retried(state.calls.get(CallId(alarm.key)), alarm.due_at)
        case "model":
            return lost_at(state.model_calls.get(ModelCallId(alarm.key)), alarm.due_at)
        case "question":
            asked = state.questions.get(QuestionId(alarm.key))
            return [e.QuestionExpired(question_id=asked.question_id)] if asked else []
        case "signal":
            return [e.SignalTimedOut(step=alarm.key)] if alarm.key in state.signals_awaited else []
        case "time":
            return [e.TimeElapsed(step=alarm.key)] if alarm.key in state.times_awaited else []
        case "deadline":
            return [e.RunExpired(deadline_at=state.deadline_at)] if now >= state.deadline_at else []
        case "undo":
            return []


def _retried(call: OpenCall | None, due_at: Instant) -> list[e.RunEvent]:
    if call is None or call.phase != "backing_off" or call.retry_at != due_at:
        return []
    return [e.ToolCallDispatched(call_id=call.request.call_id, attempt=call.attempt + 1)]
