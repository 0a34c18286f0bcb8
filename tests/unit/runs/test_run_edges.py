"""Where runs are judged anew, cut short, forked and kept within bounds; and the check at the moment of effect."""

from datetime import timedelta
from typing import Any

import pytest
from fairlead_sdk.contract import Effect, Idempotency
from fairlead_tenants.ids import PrincipalId, TenantId
from msgspec.structs import replace

from fairlead.domain.ids import RunId
from fairlead.domain.redaction import MAX_BYTES
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import events as e
from fairlead.domain.runs.decide import decide, smaller
from fairlead.domain.runs.errors import RunAlreadyExists
from fairlead.domain.runs.folding import fold
from fairlead.domain.runs.interventions import MAX_EARLY_SIGNALS
from fairlead.domain.runs.obligations import ApprovalOrder, CallOrder, WithdrawOrder, after, order_id, outstanding
from fairlead.domain.runs.outcomes import MAX_MESSAGE
from fairlead.domain.runs.permit import Drop, Expire, Forbid, Go, Lost, Permit, Reconsider, permit
from fairlead.domain.runs.rules import WorkflowRules
from fairlead.domain.runs.states import Ended, initial, requesters
from fairlead.domain.tenants.commands import (
    CreateAgent,
    DisableConnector,
    DisablePrincipal,
    SuspendTenant,
    UseConnector,
)
from fairlead.domain.tools import ToolCatalogue
from fairlead.domain.workflow.reading import read
from fairlead.domain.workflows import workflow_id
from tests.support.clock import T0
from tests.support.documents import EXPRESSIONS, Plain, ask, call, document, parallel, tool
from tests.support.runs import OPEN_POLICY, WRITE, R, Run, kinds, rules_of, started, succeeded
from tests.support.tenancy import BY_OWNER, DEFAULT, LIVE, TENANT, harbour

STAGING: Plain = {"id": "a", "call": WRITE, "with": {}}
AWAITING: Plain = {"id": "s", "wait": {"signal": "go"}}
MINUTE = timedelta(minutes=1)


def unwatched_while(condition: str) -> Plain:
    allow = {"id": "watched", "effects": ["write"], "verdict": "allow", "reason": "watched"}
    people = {**allow, "id": "unwatched", "verdict": "require_approval", "when": condition}
    return {"rules": [allow, people]}


AFTER_A_MINUTE = unwatched_while("timestamp(now) >= timestamp('2026-03-02T09:01:00Z')")
WITHIN_A_MINUTE = unwatched_while("timestamp(now) < timestamp('2026-03-02T09:01:00Z')")


def asked(run: Run) -> e.ToolCallApprovalRequested:
    return next(fact for fact in reversed(run.history) if isinstance(fact, e.ToolCallApprovalRequested))


def approve(run: Run, count: int = 1) -> None:
    people = tuple(PrincipalId(f"prn_{number}") for number in range(count))
    run.do(
        c.RecordApproval(
            call_id=asked(run).call_id,
            approval_id=asked(run).approval_id,
            digest=asked(run).digest,
            fingerprint="f",
            approved_by=people,
            now=T0,
        )
    )


def void(run: Run, now: Any = T0) -> list[e.RunEvent]:
    (call_id,) = run.active.calls
    return run.do(c.VoidApproval(call_id=call_id, reason="moved", now=now))


# --- judged again -----------------------------------------------------------------------------------------------------


def test_a_call_that_was_allowed_and_now_needs_people_is_put_before_them() -> None:
    run = Run(rules_of(STAGING, policy=AFTER_A_MINUTE))
    assert run.call("a").phase == "dispatched"
    assert void(run) == []  # still day
    assert kinds(void(run, T0 + MINUTE)) == ["ToolCallJudged", "ToolCallApprovalRequested"]


def test_an_approved_call_that_needs_nobody_any_more_goes_out_as_a_new_attempt() -> None:
    """An engine drops a second order for the same attempt, so the attempt must be another."""
    run = Run(rules_of(STAGING, policy=WITHIN_A_MINUTE))
    approve(run)
    assert run.call("a").attempt == 1
    facts = void(run, T0 + MINUTE)
    assert kinds(facts) == ["ToolCallApprovalVoided", "ToolCallJudged", "ToolCallDispatched"]
    assert run.call("a").attempt == 2
    assert void(run, T0 + MINUTE) == []


# --- more than a commit can hold --------------------------------------------------------------------------------------


def test_what_happened_is_kept_when_what_follows_fits_no_commit() -> None:
    run = Run(rules_of(call("a"), call("b")))
    report = succeeded(run.call("a").request.call_id)
    shorter = smaller(report)
    assert shorter == c.CutShort(command=report, now=T0)
    assert kinds(run.do(shorter)) == ["ToolCallCompleted", "RunFailed"]
    assert run.ended.ending == e.RunFailed(
        code="decision_too_large", message="what follows is more than one commit can hold"
    )
    assert run.do(shorter) == []


def test_an_output_that_fits_no_commit_even_alone_is_given_up_for_a_failed_call() -> None:
    run = Run(rules_of({**call("a"), "on_failure": [call("b")]}))
    report = succeeded(run.call("a").request.call_id)
    failed = smaller(smaller(report))  # type: ignore[arg-type]  # not None for a report
    assert failed is not None
    assert kinds(run.do(failed))[:2] == ["ToolCallFailed", "ToolCallRequested"]
    assert smaller(smaller(failed)) is None  # type: ignore[arg-type]  # a failure is cut short, and that is the end


def test_a_start_that_fits_no_commit_is_refused() -> None:
    assert smaller(c.StartRun(started=started(rules_of()), now=T0)) is None


# --- secrets and numbers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [0, MAX_MESSAGE - 10, MAX_MESSAGE])
def test_a_secret_is_taken_out_before_a_message_is_cut(before: int) -> None:
    secret = "ghp_" + "a1B2" * 9
    run = Run(rules_of(call("a")))
    erred = c.CallErred(error_class="permanent", code=secret, message="x" * before + " " + secret)
    call_id = run.call("a").request.call_id
    run.do(c.RecordOutcome(call_id=call_id, attempt=1, outcome=erred, latency_us=1, worker="w", now=T0))
    assert "ghp_" not in repr(run.history)


def test_a_message_too_long_to_be_read_is_not_kept() -> None:
    run = Run(rules_of(call("a")))
    erred = c.CallErred(error_class="permanent", code="c", message="x" * (MAX_BYTES + 1))
    call_id = run.call("a").request.call_id
    run.do(c.RecordOutcome(call_id=call_id, attempt=1, outcome=erred, latency_us=1, worker="w", now=T0))
    assert "too_long" in repr(run.history)


def test_secrets_in_reasons_and_labels_do_not_reach_a_fact() -> None:
    secret = "ghp_" + "a1B2" * 9
    run = Run(rules_of(call("a"), AWAITING), labels={"why": secret})
    run.fail("a", "transient")
    run.do(c.PauseRun(reason=secret, now=T0))
    run.do(c.ResumeRun(reason=secret, now=T0))
    run.do(c.RepairStep(step="a", repair="skipped", reason=secret, now=T0))
    run.do(c.CancelRun(reason=secret, now=T0))
    assert secret not in repr(run.history)


@pytest.mark.parametrize("number", [2**53 - 1, 2**53, -(2**53), 2**63, 1e300])
def test_numbers_of_any_size_go_through_a_run_as_they_are(number: float) -> None:
    run = Run(rules_of(call("a")))
    run.succeed("a", {"n": number})
    completed = next(fact for fact in run.history if isinstance(fact, e.ToolCallCompleted))
    assert completed.output == {"n": number}
    assert len(completed.output_sha256) == 64


# --- signals, pauses and skipping -------------------------------------------------------------------------------------


def test_a_signal_that_is_awaited_arrives_however_many_others_wait() -> None:
    run = Run(rules_of(AWAITING))
    for number in range(MAX_EARLY_SIGNALS):
        run.do(c.SendSignal(signal_id=str(number), name="other", payload=None, now=T0))
    run.do(c.SendSignal(signal_id="go", name="go", payload={"n": 1}, now=T0))
    assert run.ended.outcome == "completed"


def test_an_order_dropped_during_a_pause_is_another_order_afterwards() -> None:
    run = Run(rules_of(call("a")))
    (before,) = [owed for owed in after(TENANT, run.facts, run.state) if isinstance(owed, CallOrder)]
    run.do(c.PauseRun(reason="", now=T0))
    assert not [owed for owed in outstanding(TENANT, run.state) if isinstance(owed, CallOrder)]
    run.do(c.ResumeRun(reason="", now=T0))
    (again,) = [owed for owed in after(TENANT, run.facts, run.state) if isinstance(owed, CallOrder)]
    assert order_id(before) != order_id(again)


@pytest.mark.parametrize("rest", [[], [call("b")]])
def test_skipping_a_call_that_waits_for_people_withdraws_their_question(rest: list[Plain]) -> None:
    run = Run(rules_of(STAGING, *rest, result={}))
    facts = run.do(c.RepairStep(step="a", repair="skipped", reason="by hand", now=T0))
    withdrawals = [owed for owed in after(TENANT, facts, run.state) if isinstance(owed, WithdrawOrder)]
    assert [each.approval_id for each in withdrawals] == [asked(run).approval_id]


def test_the_branches_beside_a_denied_one_are_recorded_when_they_answer() -> None:
    both = parallel("both", left=[STAGING], right=[call("b")])
    run = Run(rules_of(both))
    in_flight = run.call("b").request.call_id
    refusal = c.RecordRefusal(call_id=asked(run).call_id, approval_id=asked(run).approval_id, reason="no", now=T0)
    assert kinds(run.do(refusal)) == ["ToolCallDenied", "RunFailed"]
    assert kinds(run.do(succeeded(in_flight))) == ["ToolCallCompleted"]
    assert run.ended.outcome == "failed"


# --- forks ------------------------------------------------------------------------------------------------------------


def fork_of(run: Run, version: int, run_id: str = "run_2", by: str = "prn_ann") -> c.ForkRun:
    return c.ForkRun(
        run_id=RunId(run_id),
        parent_run_id=R,
        parent_version=version,
        inherited=tuple(run.history[:version]),
        forked_by=PrincipalId(by),
        reason="what if",
        deadline_at=T0 + timedelta(days=1),
        now=T0,
    )


def forked(run: Run, version: int) -> Run:
    child = Run(run.rules)
    child.state, child.history = initial(), []
    child.do(fork_of(run, version))
    return child


def test_a_fork_uses_its_own_room_and_not_that_of_calls_it_did_not_inherit() -> None:
    parent = Run(rules_of(call("a"), limits={"tool_calls": 1, "steps": 1}))
    child = forked(parent, len(parent.history))
    assert child.active.tool_calls_used == child.active.steps_used == 1
    assert child.active.calls_by_tool == {"test.read": 1}
    child.succeed("a")
    assert child.ended.outcome == "completed"


def test_a_fork_keeps_early_signals_and_awaits_anew_what_the_parent_awaits() -> None:
    parent = Run(rules_of(AWAITING, {"id": "t", "wait": {"signal": "later"}}))
    parent.do(c.SendSignal(signal_id="1", name="later", payload={"n": 1}, now=T0))
    child = forked(parent, len(parent.history))
    assert list(child.active.signals_awaited) == ["s"]
    child.do(c.SendSignal(signal_id="2", name="go", payload=None, now=T0))
    assert child.ended.outcome == "completed"
    assert parent.active.signals_awaited.keys() == {"s"}


def test_whoever_started_or_forked_any_of_its_ancestors_may_not_approve_a_runs_calls() -> None:
    parent = Run(rules_of(STAGING))
    child = forked(parent, 1)
    grandchild = c.ForkRun(
        run_id=RunId("run_3"),
        parent_run_id=RunId("run_2"),
        parent_version=1,
        inherited=tuple(child.history[:1]),
        forked_by=PrincipalId("prn_bo"),
        reason="again",
        deadline_at=T0 + timedelta(days=1),
        now=T0,
    )
    state = fold(initial(), decide(grandchild, initial(), parent.rules))
    assert not isinstance(state, Ended)
    assert set(requesters(state)) == {"prn_starter", "prn_agent", "prn_ann", "prn_bo"}  # type: ignore[arg-type]  # it has begun


def test_an_id_stands_for_one_start_or_one_fork() -> None:
    parent = Run(rules_of(call("a")))
    child = forked(parent, 1)
    assert child.do(fork_of(parent, 1)) == []
    for otherwise in (fork_of(parent, 2), c.StartRun(started=started(parent.rules), now=T0)):
        with pytest.raises(RunAlreadyExists):
            child.do(otherwise)
    with pytest.raises(RunAlreadyExists):
        parent.do(fork_of(parent, 1))


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


def a_run(*steps: Plain, **fields: Any) -> Run:
    return Run(rules_of(*steps, **fields), workspace_id=DEFAULT, environment_id=LIVE)


def said(run: Run, tenant: Any = FRESH, rules: WorkflowRules | None = None, now: Any = T0) -> Permit:
    last = run.state.last if isinstance(run.state, Ended) else run.active
    (open_call,) = last.calls.values()
    order = CallOrder(tenant_id=TENANT, run_id=R, call_id=open_call.request.call_id, attempt=open_call.attempt)
    return permit(order, run.state, tenant.state, rules or run.rules, now)


def begin(run: Run) -> None:
    (open_call,) = run.active.calls.values()
    run.do(c.MarkStarted(call_id=open_call.request.call_id, attempt=open_call.attempt, worker="w", now=T0))


def with_tool(policy: Plain = OPEN_POLICY, **changes: Any) -> WorkflowRules:
    """The rules after an upgrade of the connector."""
    catalogue = ToolCatalogue([replace(tool(WRITE, effect=Effect.WRITE, writes=("staging_invoice",)), **changes)])
    plain = document(STAGING, tools=[WRITE], policy=policy)
    return WorkflowRules(read(plain), 1, catalogue, EXPRESSIONS)


def test_what_the_run_still_wants_is_let_through_and_says_whether_it_was_begun() -> None:
    run = a_run(STAGING, policy=OPEN_POLICY)
    assert said(run) == Go(call=run.call("a"), lost_answer=False)
    begin(run)
    assert said(run) == Go(call=run.call("a"), lost_answer=True)


@pytest.mark.parametrize("end", [c.PauseRun(reason="", now=T0), c.CancelRun(reason="", now=T0)])
def test_a_run_that_is_paused_or_over_drops_its_orders(end: c.RunCommand) -> None:
    run = a_run(call("a"))
    run.do(end)
    assert isinstance(said(run), Drop)


def test_at_its_deadline_a_run_expires_instead_of_calling() -> None:
    run = a_run(call("a"))
    deadline = run.active.deadline_at
    assert isinstance(said(run, now=deadline - timedelta(microseconds=1)), Go)
    assert said(run, now=deadline) == Expire()


@pytest.mark.parametrize(
    ("taken", "rule"),
    [
        (DisablePrincipal(principal_id=PrincipalId("prn_agent"), reason="left", by=BY_OWNER, now=T0), "agent.disabled"),
        (SuspendTenant(reason="unpaid", now=T0), "agent.disabled"),
    ],
)
def test_an_agent_that_may_not_act_any_more_is_stopped(taken: Any, rule: str) -> None:
    answer = said(a_run(call("a")), FRESH.after(taken))
    assert isinstance(answer, Forbid)
    assert (answer.by, answer.rule_id) == ("permission", rule)


def test_a_connector_that_the_tenant_has_disabled_is_not_called_until_it_is_enabled_again() -> None:
    run = a_run(STAGING, policy=OPEN_POLICY)
    off = FRESH.after(DisableConnector(connector="test", reason="a hole", by=BY_OWNER, now=T0))
    answer = said(run, off)
    assert isinstance(answer, Forbid)
    assert (answer.by, answer.rule_id) == ("permission", "connector.disabled")
    assert isinstance(said(run, off.after(UseConnector(connector="test", major=1, by=BY_OWNER, now=T0))), Go)
    other = FRESH.after(DisableConnector(connector="tes", reason="a hole", by=BY_OWNER, now=T0))
    assert isinstance(said(run, other), Go)


def test_an_agent_of_another_workspace_is_stopped() -> None:
    run = Run(rules_of(call("a")))
    answer = said(run)
    assert isinstance(answer, Forbid)
    assert answer.rule_id == "agent.tool_call"


def test_a_call_that_was_begun_and_is_forbidden_now_is_lost_and_not_denied() -> None:
    run = a_run(STAGING, policy=OPEN_POLICY)
    begin(run)
    gone = FRESH.after(DisablePrincipal(principal_id=PrincipalId("prn_agent"), reason="left", by=BY_OWNER, now=T0))
    assert isinstance(said(run, gone), Lost)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"version": "1.9.0"}, Go),
        ({"schema_hash": "1" * 64}, Go),
        ({"version": "2.0.0"}, Forbid),
        ({"idempotency": Idempotency.NONE}, Forbid),
        ({"schema_hash": "1" * 64, "input_schema": {"type": "object", "required": ["new"]}}, Forbid),
    ],
)
def test_an_upgraded_tool_goes_on_while_it_is_the_same_one(changes: Plain, expected: type[Permit]) -> None:
    run = a_run(STAGING, policy=OPEN_POLICY)
    assert isinstance(said(run, rules=with_tool(**changes)), expected)


def test_an_approval_covers_the_schema_it_was_given_for_and_as_many_people_as_are_asked_for() -> None:
    run = a_run(STAGING)
    approve(run)
    assert isinstance(said(run), Go)
    assert isinstance(said(run, rules=with_tool(policy={"rules": []}, schema_hash="1" * 64)), Reconsider)


@pytest.mark.parametrize(("signed", "expected"), [(1, Reconsider), (2, Go)])
def test_an_approval_by_too_few_is_none(signed: int, expected: type[Permit]) -> None:
    two: Plain = {
        "rules": [
            {
                "id": "two",
                "effects": ["write"],
                "verdict": "require_approval",
                "reason": "much money",
                "approvals": {"count": 2},
            }
        ]
    }
    run = a_run(STAGING, policy=two)
    approve(run, signed)
    assert isinstance(said(run), expected)


def test_people_are_asked_for_each_call_once() -> None:
    run = a_run(parallel("both", left=[STAGING], right=[{**STAGING, "id": "b"}]), ask("q"))
    owed = [each for each in outstanding(TenantId("tnt_1"), run.state) if isinstance(each, ApprovalOrder)]
    assert len({order_id(each) for each in owed}) == 2
