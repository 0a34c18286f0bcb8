"""Calls that failed for good can be given other arguments, made once more under a stated key, or discarded."""

from datetime import timedelta
from typing import Any

import pytest
from fairlead_tenants.ids import PrincipalId

from fairlead.domain.errors import Invalid
from fairlead.domain.ids import CallId, RunId
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import events as e
from fairlead.domain.runs.errors import (
    EditDenied,
    EffectsInFlight,
    EffectsUndone,
    LetterSettled,
    NoSuchLetter,
    ReplayMayRepeat,
    RunNotActive,
)
from fairlead.domain.runs.letters import fork_point, letter_of
from fairlead.domain.runs.states import Letter, initial
from tests.support.clock import T0
from tests.support.documents import Plain, ask, call, parallel
from tests.support.runs import OPEN_POLICY, RESERVE, WRITE, R, Run, kinds, rules_of

GREET: Plain = {"id": "a", "call": "test.greet", "with": {"name": "Ann"}, "continue": True}
STAGE: Plain = {"id": "a", "call": WRITE, "with": {"n": 1}, "continue": True}
WAITING: Plain = {"id": "w", "wait": {"signal": "go"}}
CALL = CallId("tcl_1-1")


def failed(step: Plain = GREET, *more: Plain, unclear: bool = False, **fields: Any) -> Run:
    """A run that went on without its first call and waits."""
    run = Run(rules_of(step, *(more or (WAITING,)), **({"policy": OPEN_POLICY, "result": {}} | fields)))
    run.fail("a", unclear=unclear)
    return run


def ended(run: Run) -> Run:
    run.do(c.CancelRun(reason="enough", now=T0))
    return run


def edit(run: Run, arguments: Any, call_id: CallId = CALL) -> list[e.RunEvent]:
    return run.do(c.EditLetter(call_id=call_id, arguments=arguments, reason="misspelt", now=T0))


def replay(run: Run, key: Any = None, as_run: str | None = None) -> list[e.RunEvent]:
    child = RunId(as_run) if as_run else None
    return run.do(c.ReplayLetter(call_id=CALL, reason="again", key=key, as_run=child, now=T0))


def discard(run: Run) -> list[e.RunEvent]:
    return run.do(c.DiscardLetter(call_id=CALL, reason="not needed", now=T0))


def the_letter(run: Run) -> Letter:
    return letter_of(run.state, CALL)


def outcome(run: Run, result: c.CallSucceeded | c.CallErred) -> list[e.RunEvent]:
    open_call = run.active.calls[CALL]
    report = c.RecordOutcome(call_id=CALL, attempt=open_call.attempt, outcome=result, latency_us=1, worker="w", now=T0)
    return run.do(report)


SUCCEEDED = c.CallSucceeded(output={"n": 1})
REFUSED = c.CallErred(error_class="permanent", code="no", message="no")


@pytest.mark.parametrize("error_class", ["permanent", "validation", "permission"])
def test_a_call_that_failed_for_good_is_kept_with_what_it_was_made_with(error_class: Any) -> None:
    run = Run(rules_of(GREET, WAITING, result={}))
    run.fail("a", error_class)
    assert (the_letter(run).phase, the_letter(run).arguments, the_letter(run).code) == (
        "open",
        {"name": "Ann"},
        "broken",
    )


def test_a_call_that_is_to_be_tried_again_or_that_was_done_is_no_letter() -> None:
    run = Run(rules_of(GREET, call("b")))
    for command in ("backing off", "done"):
        if command == "backing off":
            run.fail("a", "transient")
        else:
            run.do(c.RepairStep(step="a", repair="retried", reason="now", now=T0))
            run.succeed("a")
        with pytest.raises(NoSuchLetter):
            the_letter(run)


def test_it_is_made_once_more_under_its_own_key_and_its_step_stays_as_it_was() -> None:
    run = failed()
    facts = replay(run)
    assert kinds(facts) == ["ToolCallReplayed", "ToolCallJudged", "ToolCallDispatched"]
    open_call = run.active.calls[CALL]
    assert (open_call.key, open_call.attempt, open_call.request.arguments) == (CALL, 2, {"name": "Ann"})
    (completed,) = outcome(run, SUCCEEDED)
    assert isinstance(completed, e.ToolCallCompleted)
    assert completed.replayed
    assert (run.active.outcomes["a"].status, the_letter(run).phase) == ("failed", "done")


def test_asking_twice_makes_it_once() -> None:
    run = failed()
    replay(run)
    assert replay(run) == []
    outcome(run, SUCCEEDED)
    with pytest.raises(LetterSettled):
        replay(run)


def test_a_replay_that_fails_is_a_letter_again_and_has_attempts_of_its_own() -> None:
    run = failed({**GREET, "retry": {"attempts": 2, "initial_ms": 1, "max_ms": 1}})
    replay(run)
    busy = c.CallErred(error_class="transient", code="busy", message="")
    (again,) = outcome(run, busy)
    assert isinstance(again, e.ToolCallFailed)
    assert again.retry_at is not None
    run.do(c.FireAlarm(alarm=c.Alarm(kind="retry", key=CALL, due_at=again.retry_at), now=again.retry_at))
    outcome(run, busy)
    assert (the_letter(run).phase, the_letter(run).code) == ("open", "busy")
    assert kinds(replay(run))[-1] == "ToolCallDispatched"


def test_edited_arguments_are_on_record_and_go_out_under_a_new_key() -> None:
    run = failed()
    (edited,) = edit(run, {"name": "Anna"})
    assert isinstance(edited, e.ToolCallEdited)
    assert (edited.arguments, edited.verdict) == ({"name": "Anna"}, "allow")
    assert edit(run, {"name": "Anna"}) == []
    with pytest.raises(Invalid):
        replay(run, key="same")
    replayed = replay(run)[0]
    assert isinstance(replayed, e.ToolCallReplayed)
    assert replayed.key == f"{CALL}-r1"
    assert run.active.calls[CALL].request.arguments == {"name": "Anna"}


def test_edited_arguments_must_fit_the_tool() -> None:
    with pytest.raises(Invalid) as refused:
        edit(failed(), {"name": "x" * 11})
    assert [problem.path for problem in refused.value.problems] == ["/arguments/name"]


def test_edited_arguments_are_judged_by_policy_then_and_when_they_are_replayed() -> None:
    deny = {"id": "big", "verdict": "deny", "effects": ["write"], "when": "args.n > 5", "reason": "too much"}
    people = {"id": "some", "verdict": "require_approval", "effects": ["write"], "when": "args.n > 2", "reason": "ask"}
    run = failed(STAGE, policy={"rules": [deny, people, *OPEN_POLICY["rules"]]})
    with pytest.raises(EditDenied, match="big"):
        edit(run, {"n": 6})
    (edited,) = edit(run, {"n": 3})
    assert isinstance(edited, e.ToolCallEdited)
    assert edited.verdict == "require_approval"
    assert kinds(replay(run))[-1] == "ToolCallApprovalRequested"


def test_a_new_key_is_not_given_to_what_may_have_taken_effect() -> None:
    run = failed(STAGE, unclear=True)
    with pytest.raises(ReplayMayRepeat):
        replay(run, key="new")
    assert kinds(replay(run, key="same"))[0] == "ToolCallReplayed"


def test_a_replay_that_is_denied_is_a_letter_again() -> None:
    run = failed()
    replay(run)
    denial = c.DenyCall(call_id=CALL, by="permission", rule_id="agent.disabled", reason="left", now=T0)
    (denied,) = run.do(denial)
    assert isinstance(denied, e.ToolCallDenied)
    assert denied.replayed
    assert (the_letter(run).phase, the_letter(run).code) == ("open", "denied_by_permission")


def test_what_a_replay_did_is_undone_when_the_run_fails() -> None:
    run = failed({"id": "a", "call": RESERVE, "continue": True})
    replay(run)
    outcome(run, SUCCEEDED)
    ended(run)
    (undo,) = run.ended.undoing.queue
    assert (undo.call_id, undo.effect.key) == (CALL, CALL)


def test_a_letter_that_nobody_needs_is_discarded() -> None:
    run = failed()
    assert kinds(discard(run)) == ["ToolCallDiscarded"]
    assert discard(run) == []
    with pytest.raises(LetterSettled):
        replay(run)
    with pytest.raises(LetterSettled):
        edit(run, {"name": "Bo"})


def test_what_is_not_there_is_not_found() -> None:
    run = failed()
    with pytest.raises(NoSuchLetter):
        edit(run, {}, CallId("tcl_1-9"))


def test_secrets_in_arguments_and_reasons_do_not_reach_a_fact() -> None:
    secret = "ghp_" + "a1B2" * 9
    run = failed(STAGE)
    run.do(c.EditLetter(call_id=CALL, arguments={"n": 1, "token": secret}, reason=secret, now=T0))
    run.do(c.DiscardLetter(call_id=CALL, reason=secret, now=T0))
    assert secret not in repr(run.history)


# --- runs that have ended ---------------------------------------------------------------------------------------------


def child_of(parent: Run) -> Run:
    """The run that makes the call again."""
    version = fork_point(parent.history, CALL)
    letter = the_letter(parent)
    child = Run(parent.rules)
    child.state, child.history = initial(), []
    child.do(
        c.ForkRun(
            run_id=RunId("run_2"),
            parent_run_id=R,
            parent_version=version,
            inherited=tuple(parent.history[:version]),
            forked_by=PrincipalId("prn_ann"),
            reason="again",
            deadline_at=T0 + timedelta(days=1),
            now=T0,
            edits={letter.call.request.step: letter.arguments} if letter.edited else {},
        )
    )
    return child


def test_a_run_that_has_ended_says_which_run_makes_the_call_again() -> None:
    run = ended(failed())
    with pytest.raises(RunNotActive):
        replay(run)
    assert replay(run, as_run="run_2") == [e.ToolCallReplayed(call_id=CALL, reason="again", as_run=RunId("run_2"))]
    assert replay(run, as_run="run_3") == []
    assert the_letter(run).as_run == "run_2"


def test_the_fork_makes_the_call_with_what_people_have_given_it() -> None:
    run = ended(failed())
    edit(run, {"name": "Anna"})
    child = child_of(run)
    open_call = child.call("a")
    assert (open_call.request.arguments, open_call.key) == ({"name": "Anna"}, "tcl_2-2")
    child.succeed("a")
    assert child.active.outcomes["a"].status == "completed"
    assert child.active.edits == {}


def test_a_call_whose_arguments_never_fitted_is_made_by_the_fork_once_they_are_mended() -> None:
    run = Run(rules_of({**GREET, "with": {"name": "${input.name}"}, "continue": False}), {"name": "x" * 11})
    assert run.ended.outcome == "failed"
    edit(run, {"name": "Ann"})
    assert child_of(run).call("a").phase == "dispatched"


def test_a_fork_does_not_begin_with_effects_that_are_undone() -> None:
    run = Run(rules_of({"id": "first", "call": RESERVE}, {**GREET, "continue": False}, policy=OPEN_POLICY))
    run.succeed("first")
    run.fail("a")
    with pytest.raises(EffectsUndone):
        fork_point(run.history, run.ended.last.letters.popitem()[0])


def test_a_fork_does_not_make_again_what_took_effect_meanwhile() -> None:
    both = parallel("both", left=[{**STAGE, "continue": False}], right=[{"id": "b", "call": WRITE}])
    run = Run(rules_of(both, policy=OPEN_POLICY))
    other = run.call("b").request.call_id
    run.fail("a")
    run.do(c.RecordOutcome(call_id=other, attempt=1, outcome=SUCCEEDED, latency_us=1, worker="w", now=T0))
    with pytest.raises(EffectsInFlight):
        fork_point(run.history, CALL)


def test_a_fork_makes_again_what_failed_beside_the_call() -> None:
    both = parallel("both", left=[{**STAGE, "continue": False}], right=[{"id": "b", "call": WRITE}])
    run = Run(rules_of(both, policy=OPEN_POLICY))
    other = run.call("b").request.call_id
    run.fail("a")
    run.do(c.RecordOutcome(call_id=other, attempt=1, outcome=REFUSED, latency_us=1, worker="w", now=T0))
    assert fork_point(run.history, CALL) > 0


def test_a_letter_of_an_ended_run_can_be_edited_and_discarded() -> None:
    run = ended(failed())
    assert kinds(edit(run, {"name": "Bo"})) == ["ToolCallEdited"]
    assert kinds(discard(run)) == ["ToolCallDiscarded"]


def test_a_step_that_waits_beside_a_replay_is_not_disturbed() -> None:
    run = failed(GREET, ask("q"))
    replay(run)
    outcome(run, REFUSED)
    assert list(run.active.open) == ["q"]
