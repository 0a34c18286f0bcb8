"""A write is read back before the run goes on, and a difference is an incident that the document decides about."""

from datetime import timedelta
from typing import Any

import pytest
from fairlead_tenants.ids import PrincipalId, TenantId

from fairlead.domain.errors import Invalid
from fairlead.domain.ids import RunId
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import events as e
from fairlead.domain.runs.errors import CallInFlight, NothingToRepair
from fairlead.domain.runs.folding import fold
from fairlead.domain.runs.obligations import VerifyOrder, after, awaiting, outstanding
from fairlead.domain.runs.readback import MAX_CHANGES, MAX_VALUE_BYTES, difference
from fairlead.domain.runs.states import initial
from tests.support.clock import T0
from tests.support.documents import Plain, call
from tests.support.runs import OPEN_POLICY, POST, WRITE, R, Run, kinds, rules_of, verdict

SAID = {"id": 7, "amount": 5}
DRIFTED = c.ReadBack(found={"id": 7, "amount": 6})
GONE = c.ReadBack(found=None)
UNREADABLE = c.CannotTell(reason="no answer within 5 s")


def written(step_says: str | None = None, **fields: Any) -> Run:
    """A run whose write is done and not read back yet."""
    step: Plain = {"id": "a", "call": POST, **({"on_mismatch": step_says} if step_says else {})}
    run = Run(rules_of(step, call("b"), policy=OPEN_POLICY, **fields))
    run.succeed("a", SAID)
    return run


def read_back(run: Run, seen: c.ReadBack | c.CannotTell) -> list[e.RunEvent]:
    (call_id,) = run.active.calls
    return run.do(verdict(call_id, seen))


def the_question(run: Run) -> e.QuestionAsked:
    (asked,) = run.active.questions.values()
    return asked


def answer(run: Run, said: Any) -> list[e.RunEvent]:
    answer = c.AnswerQuestion(
        question_id=the_question(run).question_id,
        answer=said,
        principal_id=PrincipalId("prn_ann"),
        role_names=("operator",),
        now=T0,
    )
    return run.do(answer)


def test_the_run_does_not_go_on_before_its_write_is_read_back() -> None:
    run = written()
    assert kinds(run.facts) == ["ToolCallCompleted"]
    assert run.call("a").phase == "verifying"
    assert awaiting(run.active) == "work"
    assert kinds(read_back(run, c.ReadBack(found=SAID)))[:2] == ["ToolCallVerified", "ToolCallRequested"]
    assert run.active.outcomes["a"].output == SAID


def test_a_tool_without_a_read_back_costs_no_further_commit() -> None:
    run = Run(rules_of({"id": "a", "call": WRITE}, call("b"), policy=OPEN_POLICY))
    assert kinds(run.succeed("a", SAID))[:2] == ["ToolCallCompleted", "ToolCallRequested"]


def test_what_was_settled_by_reading_back_is_not_read_back_again() -> None:
    run = Run(rules_of({"id": "a", "call": POST}, policy=OPEN_POLICY))
    (call_id,) = run.active.calls
    found = c.CallSucceeded(output=SAID, settled="read_back")
    run.do(c.RecordOutcome(call_id=call_id, attempt=1, outcome=found, latency_us=1, worker="w", now=T0))
    assert run.ended.outcome == "completed"


def test_reading_back_is_owed_until_its_verdict_is_in() -> None:
    tenant, run = TenantId("tnt_1"), written()
    order = VerifyOrder(tenant_id=tenant, run_id=R, call_id=run.call("a").request.call_id)
    assert order in after(tenant, run.facts, run.state)
    assert order in outstanding(tenant, run.state)
    read_back(run, c.ReadBack(found=SAID))
    assert order not in outstanding(tenant, run.state)


def test_a_second_verdict_changes_nothing() -> None:
    run = written()
    (call_id,) = run.active.calls
    run.do(verdict(call_id, c.ReadBack(found=SAID)))
    assert run.do(verdict(call_id, DRIFTED)) == []


def test_what_cannot_be_read_back_is_said_and_the_run_goes_on() -> None:
    run = written()
    verified = read_back(run, UNREADABLE)[0]
    assert isinstance(verified, e.ToolCallVerified)
    assert (verified.verdict, verified.reason) == ("unverifiable", "no answer within 5 s")
    assert run.active.outcomes["a"].output == SAID


@pytest.mark.parametrize("seen", [DRIFTED, GONE])
def test_a_difference_is_an_incident_and_people_are_asked(seen: c.ReadBack) -> None:
    run = written()
    assert kinds(read_back(run, seen)) == ["ToolCallVerified", "IncidentReported", "QuestionAsked"]
    assert awaiting(run.active) == "person"


def test_the_difference_leads_from_what_was_said_to_what_is_there() -> None:
    verified = read_back(written(), DRIFTED)[0]
    assert isinstance(verified, e.ToolCallVerified)
    assert verified.difference == (e.Change(op="replace", path="/amount", value=6),)


def test_a_person_keeps_the_write_as_the_tool_said_or_as_they_say() -> None:
    for said, output in (({"decision": "keep"}, SAID), ({"decision": "keep", "output": {"id": 8}}, {"id": 8})):
        run = written()
        read_back(run, DRIFTED)
        answer(run, said)
        assert run.active.outcomes["a"].output == output
        assert run.call("b").phase == "dispatched"


def test_what_a_person_says_of_a_drifted_write_is_held_to_the_tools_contract() -> None:
    run = written()
    read_back(run, DRIFTED)
    with pytest.raises(Invalid) as refused:
        answer(run, {"decision": "keep", "output": 8})
    assert [problem.path for problem in refused.value.problems] == ["/output"]
    answer(run, {"decision": "fail", "output": 8})
    assert run.ended.outcome == "failed"


def test_a_person_fails_the_run() -> None:
    run = written()
    read_back(run, DRIFTED)
    answer(run, {"decision": "fail"})
    assert isinstance(run.ended.ending, e.RunFailed)
    assert (run.ended.ending.code, run.ended.ending.step) == ("readback_mismatch", "a")


def test_an_answer_that_decides_nothing_is_refused() -> None:
    run = written()
    read_back(run, DRIFTED)
    with pytest.raises(Invalid):
        answer(run, {"decision": "maybe"})


def test_the_document_can_let_the_run_go_on_or_fail_it() -> None:
    going_on, failing = written("continue"), written("compensate")
    read_back(going_on, DRIFTED)
    assert going_on.call("b").phase == "dispatched"
    assert kinds(read_back(failing, DRIFTED)) == ["ToolCallVerified", "IncidentReported", "RunFailed"]


def test_a_step_overrules_its_document() -> None:
    run = written("continue", on_mismatch="compensate")
    read_back(run, DRIFTED)
    assert run.call("b").phase == "dispatched"


def test_a_step_of_a_tool_that_cannot_be_read_back_may_not_say_what_follows() -> None:
    with pytest.raises(Invalid) as refused:
        rules_of({"id": "a", "call": WRITE, "on_mismatch": "ask"})
    assert [(fault.path, fault.code) for fault in refused.value.problems] == [("/steps/0/on_mismatch", "no_read_back")]


def test_an_operator_does_not_repair_a_write_that_has_happened() -> None:
    run = written()
    skip = c.RepairStep(step="a", repair="skipped", reason="x", now=T0)
    with pytest.raises(CallInFlight):
        run.do(skip)
    read_back(run, DRIFTED)
    with pytest.raises(NothingToRepair):
        run.do(skip)


def test_a_fork_does_not_write_again_what_its_parent_has_written() -> None:
    parent = written()
    fork = c.ForkRun(
        run_id=RunId("run_2"),
        parent_run_id=R,
        parent_version=len(parent.history),
        inherited=tuple(parent.history),
        forked_by=PrincipalId("prn_ann"),
        reason="what if",
        deadline_at=T0 + timedelta(days=1),
        now=T0,
    )
    child = Run(parent.rules)
    child.state = initial()
    facts = child.do(fork)
    assert [fact.step for fact in facts if isinstance(fact, e.ToolCallRequested)] == ["b"]
    assert fold(initial(), facts) == child.state


# --- differences ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "found", "changes"),
    [
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 1}, {"a": True}, [("replace", "/a", True)]),
        ({"a": 1, "b": 2}, {"b": 2, "c": 3}, [("remove", "/a", None), ("add", "/c", 3)]),
        ([1, 2, 3], [1], [("remove", "/2", None), ("remove", "/1", None)]),
        ([1], [2, 3], [("replace", "/0", 2), ("add", "/1", 3)]),
        ({"a/b": {"~": 1}}, {"a/b": {"~": 2}}, [("replace", "/a~1b/~0", 2)]),
        ({"a": [1]}, {"a": {"0": 1}}, [("replace", "/a", {"0": 1})]),
        ({}, None, [("replace", "", None)]),
    ],
)
def test_a_difference_is_a_list_of_operations(said: Any, found: Any, changes: list[Any]) -> None:
    assert [(change.op, change.path, change.value) for change in difference(said, found)] == changes


def test_a_difference_is_bounded() -> None:
    many = difference({}, {f"f{number:03}": number for number in range(MAX_CHANGES + 1)})
    assert len(many) == MAX_CHANGES
    for size, shown in ((MAX_VALUE_BYTES, True), (MAX_VALUE_BYTES + 1, False)):
        (change,) = difference({"a": 1}, {"a": "x" * (size - 2)})
        assert isinstance(change.value, str) is shown


def test_secrets_that_are_read_back_do_not_reach_a_fact() -> None:
    secret = "ghp_" + "a1B2" * 9
    run = written()
    read_back(run, c.ReadBack(found={**SAID, "note": secret, "password": "hunter22"}))
    assert secret not in repr(run.history)
    assert "hunter22" not in repr(run.history)
    other = written()
    read_back(other, c.CannotTell(reason=f"told {secret}"))
    assert secret not in repr(other.history)
