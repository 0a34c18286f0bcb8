"""How each fact about a step that waits, or about all of the run, changes what is remembered of it."""

from typing import Any, Literal

from msgspec.structs import replace

from fairlead.domain.planning.seam import Asked, StepError, StepOutcome
from fairlead.domain.runs import events as e
from fairlead.domain.runs.settling import settle_call, settle_step, timed_out, without
from fairlead.domain.runs.states import Active, Ask


def choice(s: Active, event: e.ChoiceMade) -> Active:
    return replace(s, choices=s.choices | {event.step: event.choice})


def call_asked(s: Active, event: e.ToolCallAsked) -> Active:
    ask = Ask(event.call_id, event.step, event.tool, event.asked_by)
    wanted = Asked(tool=event.tool, arguments=event.arguments)
    asked, asks = s.asked | {event.ask_id: ask}, s.asks | {event.step: wanted}
    return replace(s, asked=asked, asks=asks, numbered=s.numbered + 1)


def ask_refused(s: Active, event: e.ToolCallAskRefused) -> Active:
    error = StepError(error_class="policy", code="denied_by_policy", message=event.reason)
    s = replace(s, steps_used=s.steps_used + 1, refused_by=s.refused_by | {event.step: event.rule_id})
    return settle_step(s, event.step, StepOutcome(status="denied", error=error))


def asked(s: Active, event: e.QuestionAsked) -> Active:
    asked = replace(s, questions=s.questions | {event.question_id: event}, numbered=s.numbered + 1)
    if event.purpose != "step":
        return asked
    return replace(asked, open=s.open | {event.step: event.question_id}, steps_used=s.steps_used + 1)


def answered(s: Active, event: e.QuestionAnswered) -> Active:
    question = s.questions[event.question_id]
    s = replace(s, questions=without(s.questions, event.question_id))
    if question.purpose == "mismatch":
        return _kept(s, question.step, event.answer)
    if question.purpose != "step":
        return s
    return settle_step(s, question.step, StepOutcome(status="completed", output=event.answer))


def _kept(s: Active, step: str, answer: Any) -> Active:
    """What a person says of a call that is not as it was read back; if it is not kept, the end of the run follows."""
    if answer["decision"] != "keep":
        return s
    call = next(call for call in s.calls.values() if (call.request.step, call.phase) == (step, "drifted"))
    output = answer.get("output", call.output)
    return settle_call(s, call.request.call_id, StepOutcome(status="completed", output=output))


def question_expired(s: Active, event: e.QuestionExpired) -> Active:
    question = s.questions[event.question_id]
    s = replace(s, questions=without(s.questions, event.question_id))
    return timed_out(s, question.step) if question.purpose == "step" else s


def signal_awaited(s: Active, event: e.SignalAwaited) -> Active:
    for early in s.early_signals:
        if early.name == event.name:
            s = replace(
                s, early_signals=tuple(x for x in s.early_signals if x is not early), steps_used=s.steps_used + 1
            )
            return settle_step(s, event.step, StepOutcome(status="completed", output=early.payload))
    return replace(
        s,
        signals_awaited=s.signals_awaited | {event.step: event},
        open=s.open | {event.step: event.name},
        steps_used=s.steps_used + 1,
    )


def signal_received(s: Active, event: e.SignalReceived) -> Active:
    s = replace(s, signal_ids=s.signal_ids | {event.signal_id})
    waiting = [step for step, awaited in s.signals_awaited.items() if awaited.name == event.name]
    if not waiting:
        return replace(s, early_signals=(*s.early_signals, event))
    for step in waiting:
        s = replace(s, signals_awaited=without(s.signals_awaited, step))
        s = settle_step(s, step, StepOutcome(status="completed", output=event.payload))
    return s


def signal_timed_out(s: Active, event: e.SignalTimedOut) -> Active:
    return timed_out(replace(s, signals_awaited=without(s.signals_awaited, event.step)), event.step)


def time_awaited(s: Active, event: e.TimeAwaited) -> Active:
    return replace(
        s,
        times_awaited=s.times_awaited | {event.step: event},
        open=s.open | {event.step: "time"},
        steps_used=s.steps_used + 1,
    )


def time_elapsed(s: Active, event: e.TimeElapsed) -> Active:
    s = replace(s, times_awaited=without(s.times_awaited, event.step))
    return settle_step(s, event.step, StepOutcome(status="completed", output=None))


def limit_reached(s: Active, event: e.LimitReached) -> Active:
    return replace(s, limit_reached=event)


def limit_raised(s: Active, event: e.LimitRaised) -> Active:
    return replace(s, limits=replace(s.limits, **{event.limit: event.allowed}), limit_reached=None)


def repaired(s: Active, event: e.StepRepaired) -> Active:
    if event.repair == "retried":  # the same call goes out again, under the same key
        return replace(s, questions={key: asked for key, asked in s.questions.items() if asked.step != event.step})
    s = _forget(s, event.step)
    status: Literal["skipped", "completed"] = "skipped" if event.repair == "skipped" else "completed"
    return settle_step(s, event.step, StepOutcome(status=status, output=event.output))


def _forget(s: Active, step: str) -> Active:
    """Nothing is in flight for this step any more."""
    calls = {key: call for key, call in s.calls.items() if call.request.step != step}
    model_calls = {key: call for key, call in s.model_calls.items() if call.request.step != step}
    questions = {key: asked for key, asked in s.questions.items() if asked.step != step}
    return replace(
        s,
        calls=calls,
        model_calls=model_calls,
        questions=questions,
        open=without(s.open, step),
        signals_awaited=without(s.signals_awaited, step),
        times_awaited=without(s.times_awaited, step),
    )


def unmoved(s: Active, _: e.RunEvent) -> Active:
    return s


def paused(s: Active, event: e.RunPaused) -> Active:
    return replace(s, paused=event.reason, paused_by=event.switch)


def resumed(s: Active, _: e.RunResumed) -> Active:
    return replace(s, paused=None, paused_by="", resumed=s.resumed + 1)
