"""What a run answers to each command."""

from datetime import timedelta
from typing import Any

import pytest
from fairlead_tenants.ids import PrincipalId, TenantId

from fairlead.domain.errors import Denied, Invalid
from fairlead.domain.ids import ApprovalId, CallId, QuestionId
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import events as e
from fairlead.domain.runs.decide import decide
from fairlead.domain.runs.errors import (
    CallInFlight,
    ForkPointInvalid,
    NoSuchQuestion,
    NoSuchRun,
    NothingToRepair,
    RunAlreadyExists,
    RunNotActive,
    TooManySignals,
)
from fairlead.domain.runs.obligations import CallOrder, awaiting, outstanding
from fairlead.domain.runs.rules import WorkflowRules
from fairlead.domain.runs.states import Active, NotStarted
from fairlead.domain.tools import ToolCatalogue
from tests.support.clock import T0
from tests.support.documents import EXPRESSIONS, call, parallel
from tests.support.runs import BOOK, OPEN_POLICY, WRITE, R, Run, failed, kinds, rules_of, started, succeeded

T1 = T0 + timedelta(minutes=1)
TWO = rules_of(call("a"), call("b"))
READING = {"id": "a", "call": "test.read", "with": {}}
BOOKING = {"id": "a", "call": BOOK, "with": {}}
STAGING = {"id": "a", "call": WRITE, "with": {}}
ASKING = {
    "id": "q",
    "ask": {"question": "How many?", "schema": {"type": "integer"}, "roles": ["operator"], "timeout_s": 60},
}
SIGNALLED = {"id": "s", "wait": {"signal": "paid", "timeout_s": 60}}
LATER = {"id": "t", "wait": {"seconds": 60}}


def answer(question_id: str, value: object, role: str = "operator") -> c.AnswerQuestion:
    return c.AnswerQuestion(
        question_id=QuestionId(question_id), answer=value, principal_id=PrincipalId("prn_p"), role_names=(role,), now=T0
    )


def signal(signal_id: str, name: str = "paid") -> c.SendSignal:
    return c.SendSignal(signal_id=signal_id, name=name, payload={"n": signal_id}, now=T0)


def alarm(kind: str, key: str, due: timedelta = timedelta(seconds=60), late: timedelta = timedelta()) -> c.FireAlarm:
    due_at = T0 + due
    return c.FireAlarm(alarm=c.Alarm(kind=kind, key=key, due_at=due_at), now=due_at + late)  # type: ignore[arg-type]  # parametrised


def test_starting_plans_and_dispatches_the_first_step_in_the_same_decision() -> None:
    run = Run(TWO)
    assert kinds(run.facts) == ["RunStarted", "ToolCallRequested", "ToolCallJudged", "ToolCallDispatched"]
    assert run.call("a").attempt == 1


def test_an_outcome_brings_the_next_step_and_the_last_one_the_end() -> None:
    run = Run(TWO)
    assert kinds(run.succeed("a")) == [
        "ToolCallCompleted",
        "ToolCallRequested",
        "ToolCallJudged",
        "ToolCallDispatched",
    ]
    assert kinds(run.succeed("b", {"n": 1})) == ["ToolCallCompleted", "RunCompleted"]
    assert run.ended.outcome == "completed"


def test_reporting_an_outcome_twice_changes_nothing() -> None:
    run = Run(TWO)
    first = succeeded(run.call("a").request.call_id)
    run.do(first)
    assert run.do(first) == []


def test_a_report_for_another_attempt_changes_nothing() -> None:
    run = Run(TWO)
    assert run.do(succeeded(run.call("a").request.call_id, attempt=2)) == []


def test_starting_the_same_run_again_changes_nothing_and_another_one_is_refused() -> None:
    run = Run(TWO)
    assert run.do(c.StartRun(started=started(TWO), now=T1)) == []
    with pytest.raises(RunAlreadyExists):
        run.do(c.StartRun(started=started(TWO, workflow_hash="other"), now=T1))


def test_nothing_can_be_asked_of_a_run_that_never_began() -> None:
    with pytest.raises(NoSuchRun):
        decide(c.PauseRun(reason="", now=T0), NotStarted(), TWO)


# --- failures -----------------------------------------------------------------------------------------------------


def test_a_transient_failure_is_tried_again_after_a_pause_and_the_last_attempt_is_final() -> None:
    run = Run(rules_of({**READING, "retry": {"attempts": 2, "initial_ms": 100, "max_ms": 100}}))
    (fact,) = run.fail("a", "transient")
    assert isinstance(fact, e.ToolCallFailed)
    assert fact.retry_at is not None
    assert T0 <= fact.retry_at <= T0 + timedelta(milliseconds=100)
    due = c.Alarm(kind="retry", key=fact.call_id, due_at=fact.retry_at)
    assert kinds(run.do(c.FireAlarm(alarm=due, now=fact.retry_at))) == ["ToolCallDispatched"]
    assert kinds(run.fail("a", "transient")) == ["ToolCallFailed", "RunFailed"]
    assert run.do(c.FireAlarm(alarm=due, now=fact.retry_at)) == []


@pytest.mark.parametrize("error_class", ["permanent", "validation", "permission", "policy"])
def test_failures_that_would_repeat_are_not_tried_again(error_class: e.ErrorClass) -> None:
    run = Run(TWO)
    assert kinds(run.fail("a", error_class)) == ["ToolCallFailed", "RunFailed"]
    assert run.ended.outcome == "failed"


def test_a_counterparts_retry_after_is_waited_for() -> None:
    run = Run(TWO)
    call_id = run.call("a").request.call_id
    erred = c.CallErred(error_class="rate_limited", code="slow_down", message="", retry_after_s=90)
    report = c.RecordOutcome(call_id=call_id, attempt=1, outcome=erred, latency_us=1, worker="w", now=T0)
    (fact,) = run.do(report)
    assert isinstance(fact, e.ToolCallFailed)
    assert fact.retry_at is not None
    assert fact.retry_at >= T0 + timedelta(seconds=90)


def test_arguments_that_break_the_schema_never_reach_a_worker() -> None:
    run = Run(rules_of({"id": "a", "call": "test.greet", "with": {"name": "${ input.name }"}}), {"name": "x" * 11})
    assert kinds(run.facts) == ["RunStarted", "ToolCallRequested", "ToolCallFailed", "RunFailed"]
    assert outstanding(TenantId("tnt_1"), run.state) == []


def test_a_lost_answer_asks_a_person_and_is_never_repeated_silently() -> None:
    run = Run(rules_of(STAGING, policy=OPEN_POLICY))
    assert kinds(run.fail("a", "unknown_outcome")) == ["ToolCallOutcomeUnknown", "QuestionAsked"]
    (question_id,) = run.active.questions
    assert kinds(run.do(answer(question_id, {"happened": True, "output": {"id": 1}}))) == [
        "QuestionAnswered",
        "ToolCallCompleted",
        "RunCompleted",
    ]


@pytest.mark.parametrize(
    ("output", "path"),
    [({"id": "x"}, "/output/id"), ({}, "/output/id"), (None, "/output"), ({"id": 1, "more": 1}, "/output/more")],
)
def test_an_output_that_the_tool_cannot_give_is_refused_with_its_path_and_changes_nothing(
    output: Any, path: str
) -> None:
    run = Run(rules_of(BOOKING, policy=OPEN_POLICY))
    run.fail("a", "unknown_outcome")
    (question_id,) = run.active.questions
    before = run.state
    for command in (
        answer(question_id, {"happened": True, "output": output}),
        c.RepairStep(step="a", repair="result_supplied", reason="test", output=output, now=T0),
    ):
        with pytest.raises(Invalid) as refused:
            run.do(command)
        assert [problem.path for problem in refused.value.problems] == [path]
        assert run.state is before
    assert kinds(run.do(answer(question_id, {"happened": False, "output": output})))[-1] == "ToolCallDispatched"


def test_a_person_need_not_know_what_the_tool_gave() -> None:
    run = Run(rules_of(BOOKING, call("b"), policy=OPEN_POLICY))
    run.fail("a", "unknown_outcome")
    (question_id,) = run.active.questions
    run.do(answer(question_id, {"happened": True}))
    assert run.active.outcomes["a"].output is None


def test_a_result_supplied_for_a_question_is_one_that_could_have_been_answered() -> None:
    run = Run(rules_of(ASKING, call("b")))
    with pytest.raises(Invalid) as refused:
        run.do(c.RepairStep(step="q", repair="result_supplied", reason="test", output="seven", now=T0))
    assert [problem.path for problem in refused.value.problems] == ["/output"]
    run.do(c.RepairStep(step="q", repair="result_supplied", reason="test", output=7, now=T0))
    assert run.active.outcomes["q"].output == 7


def test_a_result_supplied_for_a_tool_that_is_gone_is_taken_as_it_is() -> None:
    rules = rules_of(BOOKING, policy=OPEN_POLICY)
    run = Run(rules)
    run.fail("a", "unknown_outcome")
    run.rules = WorkflowRules(rules.workflow, 1, ToolCatalogue([]), EXPRESSIONS)
    run.do(c.RepairStep(step="a", repair="result_supplied", reason="test", output={"id": "x"}, now=T0))
    assert run.ended.outcome == "completed"


def test_a_person_who_knows_that_nothing_happened_has_it_done_again_under_the_same_call() -> None:
    run = Run(rules_of(STAGING, policy=OPEN_POLICY))
    call_id = run.call("a").request.call_id
    run.fail("a", "unknown_outcome")
    (question_id,) = run.active.questions
    facts = run.do(answer(question_id, {"happened": False}))
    assert facts[-1] == e.ToolCallDispatched(call_id=call_id, attempt=2)


def test_an_answer_that_arrives_after_all_settles_the_unknown_and_withdraws_the_question() -> None:
    run = Run(rules_of(STAGING, policy=OPEN_POLICY))
    call_id = run.call("a").request.call_id
    run.fail("a", "unknown_outcome")
    assert kinds(run.do(succeeded(call_id))) == ["ToolCallCompleted", "QuestionExpired", "RunCompleted"]


# --- policy and approval --------------------------------------------------------------------------------------------


def test_a_write_no_rule_speaks_of_waits_for_people_and_goes_out_once_approved() -> None:
    run = Run(rules_of(STAGING))
    assert kinds(run.facts)[-2:] == ["ToolCallJudged", "ToolCallApprovalRequested"]
    asked = run.facts[-1]
    assert isinstance(asked, e.ToolCallApprovalRequested)
    assert kinds(run.do(approved(asked))) == ["ToolCallApproved", "ToolCallDispatched"]


def approved(asked: e.ToolCallApprovalRequested, **changes: str) -> c.RecordApproval:
    fields = {"digest": asked.digest, "approval_id": asked.approval_id} | changes
    return c.RecordApproval(
        call_id=asked.call_id,
        approval_id=ApprovalId(fields["approval_id"]),
        digest=fields["digest"],
        fingerprint="f",
        approved_by=(PrincipalId("prn_p"),),
        now=T0,
    )


@pytest.mark.parametrize("changes", [{"digest": "other"}, {"approval_id": "apr_other"}])
def test_an_approval_of_something_else_changes_nothing(changes: dict[str, str]) -> None:
    run = Run(rules_of(STAGING))
    asked = run.facts[-1]
    assert isinstance(asked, e.ToolCallApprovalRequested)
    assert run.do(approved(asked, **changes)) == []


def test_a_voided_approval_is_asked_again_under_a_new_id() -> None:
    run = Run(rules_of(STAGING))
    asked = run.facts[-1]
    assert isinstance(asked, e.ToolCallApprovalRequested)
    run.do(approved(asked))
    facts = run.do(c.VoidApproval(call_id=asked.call_id, reason="the state moved", now=T0))
    assert kinds(facts) == ["ToolCallApprovalVoided", "ToolCallJudged", "ToolCallApprovalRequested"]
    again = facts[-1]
    assert isinstance(again, e.ToolCallApprovalRequested)
    assert again.approval_id != asked.approval_id
    assert run.do(approved(asked)) == []


def test_a_refusal_denies_the_call_and_the_branch_for_failures_runs() -> None:
    run = Run(rules_of({**STAGING, "on_failure": [call("after")]}))
    asked = run.facts[-1]
    assert isinstance(asked, e.ToolCallApprovalRequested)
    refusal = c.RecordRefusal(call_id=asked.call_id, approval_id=asked.approval_id, reason="no", now=T0)
    assert kinds(run.do(refusal))[0] == "ToolCallDenied"
    assert run.call("after").phase == "dispatched"


def test_a_destructive_call_that_no_rule_allows_is_denied() -> None:
    wiping = {"id": "a", "call": "test.wipe", "with": {}}
    run = Run(rules_of(wiping, tools=["test.wipe"]))
    assert kinds(run.facts)[-3:] == ["ToolCallJudged", "ToolCallDenied", "RunFailed"]


def test_a_permission_withdrawn_before_the_effect_stops_the_call() -> None:
    run = Run(TWO)
    call_id = run.call("a").request.call_id
    denial = c.DenyCall(call_id=call_id, by="permission", rule_id="agent.disabled", reason="gone", now=T0)
    assert kinds(run.do(denial)) == ["ToolCallDenied", "RunFailed"]


# --- limits and deadlines -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("allowed", "ending"), [(1, "RunCapped"), (2, "RunCompleted"), (3, "RunCompleted")])
@pytest.mark.parametrize("limit", ["tool_calls", "steps"])
def test_the_limit_th_is_allowed_and_the_next_is_not(limit: str, allowed: int, ending: str) -> None:
    run = Run(rules_of(call("a"), call("b"), limits={limit: allowed}))
    run.succeed("a")
    if isinstance(run.state, Active):
        run.succeed("b")
    assert kinds(run.history)[-1] == ending


def test_a_limit_that_asks_waits_for_room_and_goes_on_with_it() -> None:
    run = Run(rules_of(call("a"), call("b"), limits={"tool_calls": 1, "on_limit": "ask"}))
    assert kinds(run.succeed("a"))[-2:] == ["LimitReached", "QuestionAsked"]
    (question_id,) = run.active.questions
    with pytest.raises(Invalid):
        run.do(answer(question_id, {"raise_by": -1}))
    assert "ToolCallDispatched" in kinds(run.do(answer(question_id, {"raise_by": 1})))


def test_a_limit_that_asks_ends_the_run_when_no_room_is_given() -> None:
    run = Run(rules_of(call("a"), call("b"), limits={"tool_calls": 1, "on_limit": "ask"}))
    run.succeed("a")
    (question_id,) = run.active.questions
    assert kinds(run.do(answer(question_id, {"raise_by": 0}))) == ["QuestionAnswered", "RunCapped"]


def test_a_run_expires_at_its_deadline_and_not_before() -> None:
    lifetime = timedelta(seconds=TWO.workflow.limits.deadline_s)
    run = Run(TWO)
    assert run.do(alarm("deadline", R, lifetime, -timedelta(microseconds=1))) == []
    assert kinds(run.do(alarm("deadline", R, lifetime))) == ["RunExpired"]


def test_an_outcome_after_the_deadline_is_recorded_and_nothing_new_begins() -> None:
    run = Run(TWO)
    late = T0 + timedelta(seconds=TWO.workflow.limits.deadline_s)
    assert kinds(run.succeed("a", at=late)) == ["ToolCallCompleted", "RunExpired"]


# --- people and outside events --------------------------------------------------------------------------------------


def test_a_question_waits_for_input_and_its_answer_goes_on() -> None:
    run = Run(rules_of(ASKING, result={}))
    (question_id,) = run.active.questions
    assert awaiting(run.active) == "person"
    assert kinds(run.do(answer(question_id, 3))) == ["QuestionAnswered", "RunCompleted"]


def test_an_answer_must_fit_the_question_come_from_its_roles_and_be_the_first() -> None:
    run = Run(rules_of(ASKING, call("b")))
    (question_id,) = run.active.questions
    with pytest.raises(Invalid):
        run.do(answer(question_id, "three"))
    with pytest.raises(Denied):
        run.do(answer(question_id, 3, role="auditor"))
    run.do(answer(question_id, 3))
    with pytest.raises(NoSuchQuestion):
        run.do(answer(question_id, 4))


def test_a_question_nobody_answers_times_out() -> None:
    run = Run(rules_of(ASKING))
    (question_id,) = run.active.questions
    assert kinds(run.do(alarm("question", question_id))) == ["QuestionExpired", "RunFailed"]


def test_a_signal_sent_twice_continues_once() -> None:
    run = Run(rules_of(SIGNALLED, call("b")))
    assert kinds(run.do(signal("sig-1")))[0] == "SignalReceived"
    assert run.do(signal("sig-1")) == []


def test_a_signal_that_comes_early_is_kept_until_it_is_awaited() -> None:
    run = Run(rules_of(call("a"), SIGNALLED))
    run.do(signal("sig-1"))
    assert kinds(run.succeed("a")) == ["ToolCallCompleted", "SignalAwaited", "RunCompleted"]


def test_an_early_signal_goes_to_the_first_step_in_document_order_that_awaits_it_and_a_later_one_to_all() -> None:
    waits = {name: {"id": name, "wait": {"signal": "paid"}} for name in ("first", "second", "third")}
    both = parallel("both", b=[waits["second"]], a=[waits["first"]])
    run = Run(rules_of(call("c"), both, waits["third"], result={"a": "${steps.first.output.n}"}))
    run.do(signal("sig-1"))
    run.succeed("c")
    assert list(run.active.signals_awaited) == ["second"]
    assert run.active.outcomes["first"].output == {"n": "sig-1"}
    run.do(signal("sig-2"))
    assert list(run.active.signals_awaited) == ["third"]
    run = Run(rules_of(both))
    run.do(signal("sig-1"))
    assert {step: outcome.output for step, outcome in run.ended.last.outcomes.items()} == {
        "first": {"n": "sig-1"},
        "second": {"n": "sig-1"},
    }


def test_early_signals_of_one_name_are_given_out_in_the_order_in_which_they_came() -> None:
    waits = [{"id": name, "wait": {"signal": "paid"}} for name in ("first", "second", "third")]
    run = Run(rules_of(call("c"), *waits))
    for number in (1, 2):
        run.do(signal(f"sig-{number}"))
    run.succeed("c")
    assert [run.active.outcomes[step].output for step in ("first", "second")] == [{"n": "sig-1"}, {"n": "sig-2"}]
    assert list(run.active.signals_awaited) == ["third"]


def test_early_signals_are_not_kept_without_end() -> None:
    run = Run(TWO)
    for number in range(100):
        run.do(signal(f"sig-{number}", "other"))
    with pytest.raises(TooManySignals):
        run.do(signal("one-more", "other"))


def test_waiting_for_a_time_ends_when_it_comes() -> None:
    run = Run(rules_of(LATER, result={}))
    assert run.do(alarm("time", "t", late=-timedelta(seconds=1))) == []
    assert kinds(run.do(alarm("time", "t"))) == ["TimeElapsed", "RunCompleted"]
    assert run.do(alarm("time", "t")) == []


def test_a_paused_run_records_what_is_in_flight_begins_nothing_and_goes_on_when_resumed() -> None:
    run = Run(TWO)
    run.do(c.PauseRun(reason="look", now=T0))
    assert run.do(c.PauseRun(reason="again", now=T0)) == []
    assert kinds(run.succeed("a")) == ["ToolCallCompleted"]
    assert kinds(run.do(c.ResumeRun(reason="go", now=T0)))[:2] == ["RunResumed", "ToolCallRequested"]


def test_resuming_owes_the_calls_that_were_held_back() -> None:
    run = Run(TWO)
    run.do(c.PauseRun(reason="look", now=T0))
    assert not any(isinstance(owed, CallOrder) for owed in outstanding(TenantId("t"), run.state))
    run.do(c.ResumeRun(reason="go", now=T0))
    assert any(isinstance(owed, CallOrder) for owed in outstanding(TenantId("t"), run.state))


@pytest.mark.parametrize(
    "command",
    [
        c.PauseRun(reason="", now=T0),
        c.ResumeRun(reason="", now=T0),
        c.CancelRun(reason="", now=T0),
        signal("sig-1"),
        answer("qst_1-1", 1),
        c.RepairStep(step="a", repair="skipped", reason="", now=T0),
    ],
)
def test_an_ended_run_refuses_every_order_and_says_how_it_ended(command: c.RunCommand) -> None:
    run = Run(rules_of(READING))
    run.succeed("a")
    with pytest.raises(RunNotActive) as refused:
        run.do(command)
    assert refused.value.state == "completed"


def test_cancelling_twice_is_not_an_error() -> None:
    run = Run(TWO)
    assert kinds(run.do(c.CancelRun(reason="enough", now=T0))) == ["RunCancelled"]
    assert run.do(c.CancelRun(reason="enough", now=T0)) == []


def test_the_effect_of_a_call_in_flight_is_recorded_even_after_the_end() -> None:
    run = Run(TWO)
    call_id = run.call("a").request.call_id
    run.do(c.CancelRun(reason="enough", now=T0))
    assert kinds(run.do(succeeded(call_id))) == ["ToolCallCompleted"]
    assert run.do(succeeded(call_id)) == []


# --- repairs and forks ----------------------------------------------------------------------------------------------


def backing_off() -> Run:
    run = Run(TWO)
    run.fail("a", "transient")
    return run


def repair(how: str, step: str = "a") -> c.RepairStep:
    return c.RepairStep(step=step, repair=how, reason="seen to", output={"by": "hand"}, now=T0)  # type: ignore[arg-type]  # parametrised


def test_an_operator_retries_a_step_at_once_under_the_same_call() -> None:
    run = backing_off()
    call_id = run.call("a").request.call_id
    facts = run.do(repair("retried"))
    assert facts[-1] == e.ToolCallDispatched(call_id=call_id, attempt=2)


@pytest.mark.parametrize(("how", "status"), [("skipped", "skipped"), ("result_supplied", "completed")])
def test_an_operator_settles_a_step_by_hand_and_the_run_goes_on(how: str, status: str) -> None:
    run = backing_off()
    assert kinds(run.do(repair(how)))[:2] == ["ToolCallReleased", "StepRepaired"]
    assert run.active.outcomes["a"].status == status
    assert run.call("b").phase == "dispatched"


def test_a_call_that_a_worker_may_be_making_is_not_repaired() -> None:
    run = Run(TWO)
    with pytest.raises(CallInFlight):
        run.do(repair("skipped"))
    with pytest.raises(NothingToRepair):
        run.do(repair("skipped", step="b"))


def test_a_fork_begins_with_what_the_parent_knew_and_leaves_the_parent_alone() -> None:
    parent = Run(TWO)
    parent.succeed("a", {"n": 1})
    inherited = tuple(parent.history[:5])  # up to the outcome of the first step
    fork = c.ForkRun(
        run_id=type(R)("run_2"),
        parent_run_id=R,
        parent_version=5,
        inherited=inherited,
        forked_by=PrincipalId("prn_forker"),
        reason="try again",
        deadline_at=T1 + timedelta(days=1),
        now=T1,
    )
    facts = decide(fork, NotStarted(), TWO)
    assert kinds(facts) == ["RunForked", "ToolCallRequested", "ToolCallJudged", "ToolCallDispatched"]
    requested = facts[1]
    assert isinstance(requested, e.ToolCallRequested)
    assert requested.call_id.startswith("tcl_2-")
    assert requested.step == "b"


def test_a_run_that_had_ended_by_then_cannot_be_forked() -> None:
    run = Run(rules_of(READING))
    run.succeed("a")
    fork = c.ForkRun(
        run_id=type(R)("run_2"),
        parent_run_id=R,
        parent_version=len(run.history),
        inherited=tuple(run.history),
        forked_by=PrincipalId("prn_forker"),
        reason="",
        deadline_at=T1,
        now=T0,
    )
    with pytest.raises(ForkPointInvalid):
        decide(fork, NotStarted(), run.rules)


def test_secrets_in_inputs_outputs_answers_and_signals_do_not_reach_a_fact() -> None:
    secret = "ghp_" + "a1B2" * 9
    run = Run(rules_of(SIGNALLED, call("a")), {"note": f"use {secret}"})
    run.do(c.SendSignal(signal_id="1", name="paid", payload={"token": secret}, now=T0))
    run.succeed("a", {"said": secret})
    assert secret not in repr(run.history)


def test_backoff_spreads_by_call_and_never_passes_its_ceiling() -> None:
    pauses = set()
    for number in range(50):
        run = Run(TWO, run_id=type(R)(f"run_{number}"))
        (fact,) = run.fail("a", "timeout")
        assert isinstance(fact, e.ToolCallFailed)
        assert fact.retry_at is not None
        pauses.add(fact.retry_at - T0)
    assert max(pauses) <= timedelta(milliseconds=500)
    assert len(pauses) == 50


def test_an_unknown_call_is_left_alone() -> None:
    run = Run(TWO)
    assert run.do(failed(CallId("tcl_9-9"))) == []


def test_a_call_says_which_account_it_is_to_use_and_an_approval_is_bound_to_it() -> None:
    sign = {"rules": [{"id": "sign", "verdict": "require_approval", "reason": "test"}]}
    digests = set()
    for connections, name in (({}, ""), ({"test": "main"}, "main"), ({"test": "main", "test.stage": "own"}, "own")):
        run = Run(rules_of({"id": "a", "call": WRITE}, policy=sign, connections=connections))
        call = run.call("a")
        assert call.request.connection == name
        assert call.approval is not None
        digests.add(call.approval.digest)
    assert len(digests) == 3
