"""What a run did is undone when it does not complete: newest first, one at a time, and never silently given up."""

from datetime import timedelta
from typing import Any

import pytest
from fairlead_sdk.contract import Idempotency
from fairlead_tenants.ids import PrincipalId, TenantId
from msgspec.structs import replace

from fairlead.domain.errors import Invalid
from fairlead.domain.ids import CallId, QuestionId, RunId
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import events as e
from fairlead.domain.runs.errors import RunNotActive
from fairlead.domain.runs.folding import fold
from fairlead.domain.runs.obligations import UndoOrder, outstanding
from fairlead.domain.runs.permit import Drop, Forbid, permit_undo
from fairlead.domain.runs.rules import WorkflowRules
from fairlead.domain.runs.sagas import RETRY, undone_since
from fairlead.domain.runs.states import initial
from fairlead.domain.runs.undoing import Undo
from fairlead.domain.tenants.commands import CreateAgent, DisableConnector, DisablePrincipal
from fairlead.domain.tools import ToolCatalogue, connector_of
from fairlead.domain.workflows import workflow_id
from tests.support.clock import T0
from tests.support.documents import EXPRESSIONS, Plain, call, parallel
from tests.support.runs import CATALOGUE, OPEN_POLICY, RESERVE, R, Run, kinds, rules_of, succeeded
from tests.support.tenancy import BY_OWNER, DEFAULT, LIVE, TENANT, harbour

BUSY = c.CallErred(error_class="transient", code="busy", message="come back later")
REFUSED = c.CallErred(error_class="permanent", code="paid_out", message="it is too late")
LATER = T0 + timedelta(minutes=10)


def booking(step: str, **fields: Any) -> Plain:
    return {"id": step, "call": RESERVE, **fields}


def run_of(*steps: Plain, **fields: Any) -> Run:
    return Run(rules_of(*steps, policy=OPEN_POLICY, **fields), workspace_id=DEFAULT, environment_id=LIVE)


def failed_after_two(**fields: Any) -> Run:
    """Two bookings are done and the third step has failed."""
    run = run_of(booking("a"), booking("b"), call("c"), **fields)
    run.succeed("a", {"n": 1})
    run.succeed("b", {"n": 2})
    run.fail("c")
    return run


def queue(run: Run) -> list[str]:
    return [undo.effect.request.step for undo in run.ended.undoing.queue]


def person(run: Run, said: Any) -> list[e.RunEvent]:
    head = run.ended.undoing.head
    assert head is not None
    assert head.question_id is not None
    return run.do(
        c.AnswerQuestion(
            question_id=head.question_id,
            answer=said,
            principal_id=PrincipalId("prn_ann"),
            role_names=("operator",),
            now=T0,
        )
    )


def test_a_run_that_fails_undoes_what_it_did_newest_first() -> None:
    run = failed_after_two()
    assert kinds(run.facts) == ["ToolCallFailed", "RunFailed", "CompensationPlanned", "CompensationDispatched"]
    assert queue(run) == ["b", "a"]
    assert kinds(run.undo()) == ["ToolCallCompensated", "CompensationDispatched"]
    assert queue(run) == ["a"]
    facts = run.undo()
    assert kinds(facts) == ["ToolCallCompensated", "CompensationEnded"]
    assert facts[-1] == e.CompensationEnded(undone=2, left=0)
    assert run.ended.undoing.status == "done"
    assert run.ended.outcome == "failed"


@pytest.mark.parametrize(
    ("command", "outcome"),
    [
        (c.CancelRun(reason="enough", now=T0), "cancelled"),
        (
            c.FireAlarm(
                alarm=c.Alarm(kind="deadline", key=R, due_at=T0 + timedelta(days=1)), now=T0 + timedelta(days=1)
            ),
            "expired",
        ),
    ],
)
def test_a_run_that_is_cancelled_or_expires_undoes_what_it_did(command: c.RunCommand, outcome: str) -> None:
    run = run_of(booking("a"), {"id": "w", "wait": {"signal": "go"}})
    run.succeed("a")
    run.do(command)
    assert (run.ended.outcome, queue(run)) == (outcome, ["a"])


def test_a_run_that_is_capped_or_impossible_undoes_what_it_did() -> None:
    capped = run_of(booking("a"), booking("b"), limits={"tool_calls": 1})
    capped.succeed("a")
    impossible = run_of(booking("a"), {"id": "x", "end": {"outcome": "impossible", "reason": "no"}})
    impossible.succeed("a")
    for run, outcome in ((capped, "capped"), (impossible, "impossible")):
        assert (run.ended.outcome, queue(run)) == (outcome, ["a"])


def test_a_run_that_completes_undoes_nothing() -> None:
    run = run_of(booking("a"))
    run.succeed("a")
    assert (run.ended.outcome, run.ended.undoing.status) == ("completed", "none")


def test_a_document_can_say_that_nothing_is_undone_and_a_step_can_say_otherwise() -> None:
    assert failed_after_two(compensate=False).ended.undoing.status == "none"
    run = run_of(booking("a"), booking("b", compensate=True), call("c"), compensate=False)
    run.succeed("a")
    run.succeed("b")
    run.fail("c")
    assert queue(run) == ["b"]


def test_a_step_of_a_tool_that_cannot_be_undone_may_not_promise_it() -> None:
    with pytest.raises(Invalid) as refused:
        rules_of(call("a", compensate=True))
    assert [(fault.path, fault.code) for fault in refused.value.problems] == [
        ("/steps/0/compensate", "cannot_be_undone")
    ]


def test_a_busy_counterpart_is_asked_again_after_a_pause_that_grows() -> None:
    run = failed_after_two()
    pauses = []
    for attempt in range(1, RETRY.attempts):
        (failed,) = run.undo(BUSY)
        assert isinstance(failed, e.CompensationFailed)
        assert failed.retry_at is not None
        pauses.append(failed.retry_at - T0)
        alarm = c.Alarm(kind="undo", key=failed.call_id, due_at=failed.retry_at)
        assert alarm in outstanding(TENANT, run.state)
        assert run.do(c.FireAlarm(alarm=alarm, now=failed.retry_at)) == [
            e.CompensationDispatched(call_id=failed.call_id, attempt=attempt + 1)
        ]
        assert run.do(c.FireAlarm(alarm=alarm, now=failed.retry_at)) == []
    assert all(pause <= timedelta(seconds=2**number) for number, pause in enumerate(pauses))
    assert kinds(run.undo(BUSY)) == ["CompensationFailed", "IncidentReported", "QuestionAsked"]


def test_an_effect_that_cannot_be_undone_goes_to_a_person_and_older_ones_wait() -> None:
    run = failed_after_two()
    facts = run.undo(REFUSED)
    assert kinds(facts) == ["CompensationFailed", "IncidentReported", "QuestionAsked"]
    assert "paid_out" in repr(facts[-1])
    assert run.ended.undoing.status == "waiting_for_person"
    assert outstanding(TENANT, run.state) == []
    assert queue(run) == ["b", "a"]


@pytest.mark.parametrize(
    ("said", "fact", "status"),
    [
        ({"decision": "retry"}, "CompensationDispatched", "under_way"),
        ({"decision": "done_by_hand", "reason": "by phone"}, "ToolCallCompensated", "done"),
        ({"decision": "leave", "reason": "small"}, "CompensationLeft", "incomplete"),
    ],
)
def test_a_person_has_it_tried_again_says_that_it_is_done_or_leaves_it(said: Any, fact: str, status: str) -> None:
    run = failed_after_two()
    run.undo(REFUSED)
    assert kinds(person(run, said))[:2] == ["QuestionAnswered", fact]
    while run.ended.undoing.queue and status != "under_way":
        run.undo()
    assert run.ended.undoing.status == status


@pytest.mark.parametrize("said", [{"decision": "leave"}, {"decision": "done_by_hand"}, {"decision": "later"}, {}])
def test_leaving_an_effect_or_calling_it_done_needs_a_reason(said: Any) -> None:
    run = failed_after_two()
    run.undo(REFUSED)
    with pytest.raises(Invalid):
        person(run, said)


def test_a_question_that_is_answered_is_not_answered_twice() -> None:
    run = failed_after_two()
    run.undo(REFUSED)
    asked = run.facts[-1]
    assert isinstance(asked, e.QuestionAsked)
    person(run, {"decision": "leave", "reason": "small"})
    answer = c.AnswerQuestion(
        question_id=asked.question_id,
        answer={"decision": "retry"},
        principal_id=PrincipalId("p"),
        role_names=(),
        now=T0,
    )
    with pytest.raises(RunNotActive):
        run.do(answer)


def test_a_report_that_comes_twice_late_or_for_another_call_changes_nothing() -> None:
    run = failed_after_two()
    head = run.ended.undoing.queue[0]
    older = run.ended.undoing.queue[1]
    for call_id, attempt in ((head.call_id, 2), (older.call_id, 1), (CallId("tcl_9-9"), 1)):
        report = c.RecordUndo(
            call_id=call_id, attempt=attempt, outcome=c.Undone(how="call"), latency_us=1, worker="w", now=T0
        )
        assert run.do(report) == []
    again = c.RecordUndo(
        call_id=head.call_id, attempt=1, outcome=c.Undone(how="call"), latency_us=1, worker="w", now=T0
    )
    run.do(again)
    assert run.do(again) == []


# --- calls whose outcome is not known at the end ----------------------------------------------------------------------


def cancelled_in_flight() -> Run:
    run = run_of(booking("a"), booking("b"))
    run.succeed("a", {"n": 1})
    run.do(c.CancelRun(reason="enough", now=T0))
    return run


def test_a_call_in_flight_is_looked_for_once_nobody_can_be_at_it_any_more() -> None:
    run = cancelled_in_flight()
    assert queue(run) == ["b", "a"]
    assert kinds(run.facts) == ["RunCancelled", "CompensationPlanned"]
    head = run.ended.undoing.queue[0]
    assert head.effect.doubtful
    assert head.due_at is not None
    assert head.due_at > T0 + timedelta(seconds=3 * head.effect.request.timeout_s)
    due = c.FireAlarm(alarm=c.Alarm(kind="undo", key=head.call_id, due_at=head.due_at), now=head.due_at)
    assert kinds(run.do(due)) == ["CompensationDispatched"]
    assert kinds(run.undo(c.Undone(how="nothing_to_undo"))) == ["ToolCallCompensated", "CompensationDispatched"]
    assert run.undo()[-1] == e.CompensationEnded(undone=1, left=0)


def test_a_late_outcome_says_what_is_to_be_undone_and_needs_no_waiting() -> None:
    run = cancelled_in_flight()
    late = run.ended.undoing.queue[0].call_id
    assert kinds(run.do(succeeded(late, output={"n": 2}))) == ["ToolCallCompleted", "CompensationDispatched"]
    head = run.ended.undoing.head
    assert head is not None
    assert (head.effect.output, head.effect.doubtful) == ({"n": 2}, False)


def test_a_late_failure_leaves_nothing_to_undo() -> None:
    run = cancelled_in_flight()
    late = run.ended.undoing.queue[0].call_id
    outcome = c.RecordOutcome(call_id=late, attempt=1, outcome=REFUSED, latency_us=1, worker="w", now=T0)
    assert kinds(run.do(outcome)) == ["ToolCallFailed", "CompensationDispatched"]
    assert queue(run) == ["a"]


def test_an_effect_that_shows_up_after_nothing_was_found_is_undone_after_all() -> None:
    run = run_of(booking("a"))
    run.do(c.CancelRun(reason="enough", now=T0))
    head = run.ended.undoing.queue[0]
    assert head.due_at is not None
    run.do(c.FireAlarm(alarm=c.Alarm(kind="undo", key=head.call_id, due_at=head.due_at), now=head.due_at))
    run.undo(c.Undone(how="nothing_to_undo"), at=head.due_at)
    assert run.ended.undoing.status == "done"
    facts = run.do(succeeded(head.call_id, at=LATER))
    assert kinds(facts) == ["ToolCallCompleted", "CompensationPlanned", "CompensationDispatched"]
    assert run.undo()[-1] == e.CompensationEnded(undone=1, left=0)


def test_what_a_worker_did_not_find_does_not_count_once_the_outcome_is_in() -> None:
    run = run_of(booking("a"))
    run.do(c.CancelRun(reason="enough", now=T0))
    head = run.ended.undoing.queue[0]
    assert head.due_at is not None
    run.do(c.FireAlarm(alarm=c.Alarm(kind="undo", key=head.call_id, due_at=head.due_at), now=head.due_at))
    run.do(succeeded(head.call_id))
    stale = c.RecordUndo(
        call_id=head.call_id, attempt=1, outcome=c.Undone(how="nothing_to_undo"), latency_us=1, worker="w", now=LATER
    )
    assert run.do(stale) == []


@pytest.mark.parametrize(("unclear", "planned"), [(True, ["a"]), (False, [])])
def test_a_call_that_failed_without_an_answer_may_have_to_be_undone(unclear: bool, planned: list[str]) -> None:
    run = run_of(booking("a", retry={"attempts": 1}))
    run.fail("a", "timeout", unclear=unclear)
    assert queue(run) == planned


def test_a_first_attempt_without_an_answer_is_not_forgotten_when_the_second_is_refused() -> None:
    run = run_of(booking("a", retry={"attempts": 2, "initial_ms": 1, "max_ms": 1}))
    run.fail("a", "timeout", unclear=True)
    retry = run.call("a")
    assert retry.retry_at is not None
    alarm = c.Alarm(kind="retry", key=retry.request.call_id, due_at=retry.retry_at)
    run.do(c.FireAlarm(alarm=alarm, now=retry.retry_at))
    run.fail("a", "permanent")
    assert queue(run) == ["a"]
    assert run.ended.undoing.queue[0].effect.doubtful


def test_a_call_that_was_begun_and_cannot_be_repeated_is_not_called_failed_without_an_answer() -> None:
    once = replace(CATALOGUE[RESERVE], idempotency=Idempotency.NONE)
    tools = ToolCatalogue([once if name == RESERVE else CATALOGUE[name] for name in CATALOGUE])
    rules = rules_of(booking("a"), policy=OPEN_POLICY)
    run = Run(WorkflowRules(rules.workflow, 1, tools, EXPRESSIONS))
    call_id = run.call("a").request.call_id
    run.do(c.MarkStarted(call_id=call_id, attempt=1, worker="w", now=T0))
    assert kinds(run.fail("a", unclear=True)) == ["ToolCallOutcomeUnknown", "QuestionAsked"]


def test_branches_in_flight_are_undone_before_what_was_done() -> None:
    run = run_of(booking("a"), parallel("both", left=[booking("b")], right=[call("c")]))
    run.succeed("a")
    run.fail("c")
    assert queue(run) == ["b", "a"]


# --- forks ------------------------------------------------------------------------------------------------------------


def forked(parent: Run, version: int) -> Run:
    child = Run(parent.rules)
    child.state, child.history = initial(), []
    child.do(
        c.ForkRun(
            run_id=RunId("run_2"),
            parent_run_id=R,
            parent_version=version,
            inherited=tuple(parent.history[:version]),
            forked_by=PrincipalId("prn_ann"),
            reason="what if",
            deadline_at=T0 + timedelta(days=1),
            now=T0,
        )
    )
    return child


def test_a_fork_undoes_its_own_effects_and_not_its_parents() -> None:
    parent = run_of(booking("a"), booking("b"), call("c"))
    parent.succeed("a")
    child = forked(parent, len(parent.history))
    child.succeed("b")
    child.fail("c")
    assert queue(child) == ["b"]


def test_what_a_parent_undoes_is_nothing_to_begin_with() -> None:
    run = failed_after_two()
    started, after_a = run.history[:4], run.history[:5]
    assert undone_since(fold(initial(), started), run.state) == []  # type: ignore[arg-type]  # it has begun
    (undone,) = undone_since(fold(initial(), after_a), run.state)  # type: ignore[arg-type]  # it has begun
    assert undone == run.ended.last.effects[0].request.call_id
    run.undo(REFUSED)
    person(run, {"decision": "leave", "reason": "small"})
    (undone,) = undone_since(fold(initial(), run.history[:8]), run.state)  # type: ignore[arg-type]  # it has begun
    assert undone == run.ended.last.effects[0].request.call_id, "what was left is still there"


# --- the check at the moment of effect --------------------------------------------------------------------------------

FRESH = harbour().after(
    CreateAgent(
        principal_id=PrincipalId("prn_agent"),
        name="payer",
        workflow_id=workflow_id(TENANT, DEFAULT, "invoice-check"),
        workspace_id=DEFAULT,
        by=BY_OWNER,
        now=T0,
    )
)


def order_of(run: Run) -> UndoOrder:
    (order,) = [owed for owed in outstanding(TENANT, run.state) if isinstance(owed, UndoOrder)]
    return order


def upgraded(run: Run, **changes: Any) -> WorkflowRules:
    tools = [replace(CATALOGUE[name], **changes) if name == RESERVE else CATALOGUE[name] for name in CATALOGUE]
    return WorkflowRules(run.rules.workflow, 1, ToolCatalogue(tools), EXPRESSIONS)


def test_what_is_to_be_undone_is_let_through_when_it_is_its_turn() -> None:
    run = failed_after_two()
    order = order_of(run)
    assert isinstance(permit_undo(order, run.state, FRESH.state, run.rules), Undo)
    run.undo()
    assert isinstance(permit_undo(order, run.state, FRESH.state, run.rules), Drop)


def test_an_order_to_undo_a_run_under_way_is_dropped() -> None:
    run = run_of(booking("a"))
    order = UndoOrder(tenant_id=TENANT, run_id=R, call_id=run.call("a").request.call_id, attempt=1)
    assert isinstance(permit_undo(order, run.state, FRESH.state, run.rules), Drop)


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [({"version": "1.9.0"}, True), ({"version": "2.0.0"}, False), ({"has_compensate": False}, False)],
)
def test_only_a_tool_that_still_means_the_same_undoes(changes: Plain, allowed: bool) -> None:
    run = failed_after_two()
    said = permit_undo(order_of(run), run.state, FRESH.state, upgraded(run, **changes))
    assert isinstance(said, Undo if allowed else Forbid)


def test_an_agent_that_may_not_act_any_more_undoes_nothing() -> None:
    run = failed_after_two()
    gone = FRESH.after(DisablePrincipal(principal_id=PrincipalId("prn_agent"), reason="left", by=BY_OWNER, now=T0))
    assert isinstance(permit_undo(order_of(run), run.state, gone.state, run.rules), Forbid)


def test_a_connector_that_the_tenant_has_disabled_undoes_nothing() -> None:
    run = failed_after_two()
    off = FRESH.after(DisableConnector(connector=connector_of(RESERVE), reason="a hole", by=BY_OWNER, now=T0))
    assert isinstance(permit_undo(order_of(run), run.state, off.state, run.rules), Forbid)


def test_secrets_in_what_is_said_of_undoing_do_not_reach_a_fact() -> None:
    secret = "ghp_" + "a1B2" * 9
    run = failed_after_two()
    run.undo(c.CallErred(error_class="permanent", code="no", message=f"told {secret}"))
    person(run, {"decision": "leave", "reason": f"it was {secret}"})
    assert secret not in repr(run.history)


def test_an_unknown_question_of_an_ended_run_is_refused() -> None:
    run = failed_after_two()
    with pytest.raises(RunNotActive):
        run.do(
            c.AnswerQuestion(
                question_id=QuestionId("qst_1-99"),
                answer={"decision": "retry"},
                principal_id=PrincipalId("p"),
                role_names=(),
                now=T0,
            )
        )


def test_orders_to_undo_go_by_attempt() -> None:
    run = failed_after_two()
    assert order_of(run) == UndoOrder(
        tenant_id=TenantId(TENANT), run_id=R, call_id=run.ended.undoing.queue[0].call_id, attempt=1
    )
