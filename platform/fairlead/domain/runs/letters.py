"""Calls that failed for good: looked at, given other arguments, made once more, or discarded.

While the run is under way the call is made in it, and its step keeps the outcome that the run went on with. A run that
has ended is forked from just before the failure; its own history then only says so.
"""

from collections.abc import Sequence

from fairlead_sdk.contract import Effect
from msgspec.structs import replace

from fairlead.domain.errors import Invalid, Problem
from fairlead.domain.ids import CallId
from fairlead.domain.masking import left_alone
from fairlead.domain.redaction import redact, redact_text
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import events as e
from fairlead.domain.runs.advance import RunRules, Unfolding, judge
from fairlead.domain.runs.errors import (
    EditDenied,
    EffectsInFlight,
    EffectsUndone,
    ForkPointInvalid,
    LetterSettled,
    NoSuchLetter,
    ReplayMayRepeat,
    RunNotActive,
)
from fairlead.domain.runs.folding import fold
from fairlead.domain.runs.sagas import undone_since
from fairlead.domain.runs.states import Active, Ended, Letter, NotStarted, RunState


def letter_of(state: RunState, call_id: CallId) -> Letter:
    """Raises NoSuchLetter."""
    last = state.last if isinstance(state, Ended) else state
    letter = last.letters.get(call_id) if isinstance(last, Active) else None
    if letter is None:
        raise NoSuchLetter(f"no call {call_id} has failed for good")
    return letter


def handle_letter(command: c.EditLetter | c.ReplayLetter | c.DiscardLetter, run: Unfolding, rules: RunRules) -> None:
    letter = letter_of(run.state, command.call_id)
    match command:
        case c.EditLetter():
            _edit(command, letter, run, rules)
        case c.ReplayLetter():
            _replay(command, letter, run, rules)
        case c.DiscardLetter(reason=reason):
            if letter.phase != "discarded":
                _check_open(letter)
                run.add(e.ToolCallDiscarded(call_id=command.call_id, reason=redact_text(reason)))


def fork_point(history: Sequence[e.RunEvent], call_id: CallId) -> int:
    """How many of a run's first events come before the call failed for good.

    Raises NoSuchLetter; ForkPointInvalid, EffectsUndone and EffectsInFlight where a fork from there is not to be had.
    """
    version = max((at for at, fact in enumerate(history) if _is_final(fact, call_id)), default=None)
    if version is None:
        raise NoSuchLetter(f"no call {call_id} has failed for good")
    then, now = fold(NotStarted(), history[:version]), fold(NotStarted(), history)
    if not isinstance(then, Active):
        raise ForkPointInvalid("the run had ended by then")
    if undone_since(then, now):
        raise EffectsUndone("the run has undone what it did before: start it anew")
    _check_in_flight(call_id, then, now)
    return version


def _is_final(fact: e.RunEvent, call_id: CallId) -> bool:
    return isinstance(fact, e.ToolCallFailed) and fact.call_id == call_id and fact.retry_at is None


def _check_in_flight(call_id: CallId, then: Active, now: RunState) -> None:
    assert isinstance(now, Ended), "only a run that has ended is forked for this"
    not_there = now.undoing.gone | now.undoing.absent | now.last.letters.keys()
    for other, call in then.calls.items():
        if other != call_id and call.request.effect is not Effect.READ and other not in not_there:
            raise EffectsInFlight(f"{call.request.tool} was in flight: a fork from there would make it again")


def _check_open(letter: Letter) -> None:
    if letter.phase != "open":
        raise LetterSettled(f"the call is {letter.phase.replace('_', ' ')}")


def _edit(command: c.EditLetter, letter: Letter, run: Unfolding, rules: RunRules) -> None:
    request = letter.call.request
    _check_open(letter)
    given = left_alone(command.arguments, letter.arguments)
    if problems := rules.argument_problems(request.tool, given):
        under = [replace(problem, path=f"/arguments{problem.path}") for problem in problems]
        raise Invalid(under, "the arguments do not fit the tool")
    arguments, _ = redact(given)
    proposed = replace(letter.call, request=replace(request, arguments=arguments))
    said = rules.judge(proposed, _last(run.state), command.now, counts=False)
    if said.verdict == "deny":
        raise EditDenied(f"rule {said.rule_id} denies it: {said.reason}")
    if letter.edited and letter.arguments == arguments:
        return
    run.add(
        e.ToolCallEdited(
            call_id=command.call_id,
            arguments=arguments,
            verdict=said.verdict,
            rule_id=said.rule_id,
            policy_version=said.policy_version,
            reason=redact_text(command.reason),
        )
    )


def _replay(command: c.ReplayLetter, letter: Letter, run: Unfolding, rules: RunRules) -> None:
    if letter.phase in ("replaying", "replayed_as_run"):
        return  # asking twice is not an error
    _check_open(letter)
    reason = redact_text(command.reason)
    if isinstance(run.state, Ended):
        if command.as_run is None:
            raise RunNotActive(run.state.last.run_id, run.state.outcome)
        run.add(e.ToolCallReplayed(call_id=command.call_id, reason=reason, as_run=command.as_run))
        return
    run.add(e.ToolCallReplayed(call_id=command.call_id, reason=reason, key=_key(command, letter)))
    judge(run, command.call_id, rules, command.now)


def _key(command: c.ReplayLetter, letter: Letter) -> str:
    """A counterpart that honours keys knows a call by its key and arguments, so other arguments need another key."""
    wanted = command.key or ("new" if letter.edited else "same")
    if wanted == "same":
        if letter.edited:
            problem = Problem(path="/key", message="edited arguments need a new key", code="key")
            raise Invalid([problem], "the key is not possible")
        return letter.call.key
    if letter.call.unclear and letter.call.request.effect is not Effect.READ:
        raise ReplayMayRepeat("the call may have taken effect under its key: replay it under the same, or settle it")
    return f"{command.call_id}-r{letter.replays + 1}"


def _last(state: RunState) -> Active:
    assert isinstance(state, Active | Ended), "it has a failed call"
    return state.last if isinstance(state, Ended) else state
