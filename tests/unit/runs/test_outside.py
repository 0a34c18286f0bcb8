"""Runs whose calls an outside agent asks for: the same decisions, by whoever may, until somebody ends them."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from fairlead_tenants.ids import PrincipalId, TenantId
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.domain.errors import Denied, Invalid
from fairlead.domain.ids import CallId, RunId
from fairlead.domain.planning.seam import StepError
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import events as e
from fairlead.domain.runs.decide import decide, smaller
from fairlead.domain.runs.errors import (
    CallInFlight,
    CallsStillOpen,
    NotDrivenFromOutside,
    NotItsAgent,
    RunIsPaused,
    RunNotActive,
    TooManyAsks,
)
from fairlead.domain.runs.folding import fold
from fairlead.domain.runs.obligations import WithdrawOrder, after, awaiting
from fairlead.domain.runs.outside import MAX_OPEN_ASKS
from fairlead.domain.runs.rules import WorkflowRules
from fairlead.domain.runs.states import Active, NotStarted
from fairlead.domain.workflow.validation import validate
from tests.support.clock import T0
from tests.support.documents import EXPRESSIONS, TOOLS, call, document, outside_document
from tests.support.runs import OPEN_POLICY, RESERVE, WRITE, R, Run, failed, kinds, outside_rules, rules_of, succeeded

RULES = outside_rules()
OPEN = outside_rules(policy=OPEN_POLICY)
STARTER = PrincipalId("prn_starter")
FIRST = CallId("tcl_1-1")
DIGITS = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


def ask(ask_id: str = "ask_1", tool: str = "test.read", arguments: Any = None, by: str = STARTER) -> c.AskCall:
    return c.AskCall(
        ask_id=ask_id, tool=tool, arguments=arguments or {}, door="rest", principal_id=PrincipalId(by), now=T0
    )


def finish(output: Any = None, by: str = STARTER) -> c.FinishRun:
    return c.FinishRun(output={} if output is None else output, principal_id=PrincipalId(by), now=T0)


def give_up(reason: str = "there is no such order") -> c.GiveUpRun:
    return c.GiveUpRun(reason=reason, principal_id=STARTER, now=T0)


def test_a_run_that_waits_for_its_agent_calls_nothing_and_expires_at_its_deadline() -> None:
    run = Run(RULES)
    assert kinds(run.facts) == ["RunStarted"]
    assert awaiting(run.active) == "nothing"
    (alarm,) = after(TenantId("tnt_1"), run.facts, run.state)
    assert isinstance(alarm, c.Alarm)
    assert kinds(run.do(c.FireAlarm(alarm=alarm, now=alarm.due_at))) == ["RunExpired"]


def test_what_is_asked_for_is_judged_and_dispatched_in_the_same_decision_under_one_id() -> None:
    run = Run(RULES)
    facts = run.do(ask(arguments={"a": 1}))
    assert kinds(facts) == ["ToolCallAsked", "ToolCallRequested", "ToolCallJudged", "ToolCallDispatched"]
    assert {fact.call_id for fact in facts if hasattr(fact, "call_id")} == {FIRST}
    assert run.active.asked["ask_1"].call_id == FIRST
    assert kinds(run.do(succeeded(FIRST, output={"n": 2}))) == ["ToolCallCompleted"]
    assert run.active.outcomes["call[0]"].output == {"n": 2}
    assert run.active.asks == {}


def test_asking_again_under_the_same_id_asks_for_nothing_more() -> None:
    run = Run(RULES)
    run.do(ask())
    assert run.do(ask()) == []
    run.do(succeeded(FIRST))
    assert run.do(ask()) == []
    run.do(finish())
    assert run.do(ask()) == []


def test_calls_are_open_side_by_side() -> None:
    run = Run(RULES)
    run.do(ask("a"))
    run.do(ask("b"))
    assert list(run.active.open) == ["call[0]", "call[1]"]
    run.do(succeeded(run.active.asked["b"].call_id))
    assert list(run.active.asks) == ["call[0]"]


def test_a_write_waits_for_approval_as_in_any_run() -> None:
    run = Run(RULES)
    assert kinds(run.do(ask(tool=WRITE)))[-1] == "ToolCallApprovalRequested"
    assert awaiting(run.active) == "approval"


@pytest.mark.parametrize("tool", ["test.nothing", "test.wipe", "../etc"])
def test_a_tool_that_the_workflow_does_not_have_is_refused_and_the_run_goes_on(tool: str) -> None:
    run = Run(RULES)
    facts = run.do(ask(tool=tool))
    refusal = facts[-1]
    assert isinstance(refusal, e.ToolCallAskRefused | e.ToolCallDenied)
    assert refusal.rule_id == "default.not_on_allow_list"
    outcome = run.active.outcomes["call[0]"]
    assert (outcome.status, outcome.error.code if outcome.error else "") == ("denied", "denied_by_policy")
    assert "ToolCallDispatched" not in kinds(facts)
    assert run.active.steps_used == 1


def test_arguments_that_do_not_fit_are_answered_and_the_run_goes_on() -> None:
    run = Run(RULES)
    assert kinds(run.do(ask(tool="test.greet", arguments={"nobody": 1}))) == [
        "ToolCallAsked",
        "ToolCallRequested",
        "ToolCallFailed",
    ]
    error = run.active.outcomes["call[0]"].error
    assert isinstance(error, StepError)
    assert error.code == "bad_arguments"


def test_limits_hold_as_in_any_run() -> None:
    ends = Run(outside_rules(limits={"tool_calls": 1}))
    ends.do(ask("a"))
    assert kinds(ends.do(ask("b"))) == ["ToolCallAsked", "RunCapped"]
    asks = Run(outside_rules(limits={"steps": 1, "on_limit": "ask"}))
    asks.do(ask("a", tool="test.nothing"))
    assert kinds(asks.do(ask("b"))) == ["ToolCallAsked", "LimitReached", "QuestionAsked"]
    (question,) = asks.active.questions
    answer = c.AnswerQuestion(
        question_id=question, answer={"raise_by": 1}, principal_id=PrincipalId("prn_p"), role_names=(), now=T0
    )
    assert kinds(asks.do(answer))[-1] == "ToolCallDispatched"


def test_what_is_asked_for_while_the_run_is_paused_is_called_once_it_goes_on() -> None:
    run = Run(RULES)
    run.do(c.PauseRun(reason="look", now=T0))
    assert kinds(run.do(ask())) == ["ToolCallAsked"]
    with pytest.raises(RunIsPaused):
        run.do(finish())
    resumed = run.do(c.ResumeRun(reason="fine", now=T0))
    assert kinds(resumed) == ["RunResumed", "ToolCallRequested", "ToolCallJudged", "ToolCallDispatched"]
    assert resumed[1].call_id == FIRST  # type: ignore[union-attr]  # it is the request


def test_secrets_in_arguments_are_not_kept() -> None:
    run = Run(RULES)
    (asked, *_) = run.do(ask(arguments={"password": "correct horse battery"}))
    assert b"horse" not in msgspec.json.encode(run.facts)
    assert isinstance(asked, e.ToolCallAsked)


@pytest.mark.parametrize("by", ["prn_other", "prn_admin", ""])
def test_only_the_starter_and_the_agent_of_the_run_drive_it(by: str) -> None:
    run = Run(RULES)
    for command in (ask(by=by), finish(by=by)):
        with pytest.raises(NotItsAgent) as refused:
            run.do(command)
        assert isinstance(refused.value, Denied)
    assert run.do(ask(by="prn_agent"))


def test_a_run_with_a_planner_of_its_own_is_not_driven_from_outside() -> None:
    run = Run(rules_of(call("a")))
    for command in (ask(), finish(), give_up()):
        with pytest.raises(NotDrivenFromOutside):
            run.do(command)


def test_a_run_is_finished_with_an_output_that_fits() -> None:
    run = Run(outside_rules(output=DIGITS))
    with pytest.raises(Invalid) as refused:
        run.do(finish({"n": "one"}))
    assert [problem.path for problem in refused.value.problems] == ["/output/n"]
    assert kinds(run.do(finish({"n": 1}))) == ["RunCompleted"]
    assert run.do(finish({"n": 1})) == []
    with pytest.raises(RunNotActive):
        run.do(finish({"n": 2}))
    with pytest.raises(RunNotActive):
        run.do(ask())


def test_a_run_is_not_finished_while_calls_are_open_but_may_be_given_up() -> None:
    run = Run(OPEN)
    run.do(ask("a", tool=RESERVE))
    run.do(succeeded(FIRST, output={"id": 1}))
    run.do(ask("b", tool=WRITE))
    with pytest.raises(CallsStillOpen):
        run.do(finish())
    facts = kinds(run.do(give_up()))
    assert facts[0] == "RunImpossible"
    assert "CompensationPlanned" in facts  # what it did is undone, for it has not completed
    assert run.do(give_up()) == []
    assert run.ended.outcome == "impossible"


def test_a_call_that_waits_for_people_can_be_withdrawn_and_one_that_is_made_cannot() -> None:
    run = Run(RULES)
    run.do(ask("a", tool=WRITE))
    withdraw = c.WithdrawCall(call_id=FIRST, reason="not needed", principal_id=STARTER, now=T0)
    facts = run.do(withdraw)
    assert kinds(facts) == ["ToolCallReleased", "StepRepaired"]
    assert isinstance(after(TenantId("tnt_1"), facts, run.state)[0], WithdrawOrder)
    assert (run.active.outcomes["call[0]"].status, run.active.asks) == ("skipped", {})
    assert run.do(withdraw) == []
    run.do(ask("b"))
    made = msgspec.structs.replace(withdraw, call_id=run.active.asked["b"].call_id)
    with pytest.raises(CallInFlight):
        run.do(made)
    run.do(c.PauseRun(reason="look", now=T0))
    run.do(ask("c"))
    assert kinds(run.do(msgspec.structs.replace(withdraw, call_id=run.active.asked["c"].call_id))) == ["StepRepaired"]


def test_an_agent_that_cannot_go_on_fails_the_run_in_its_own_words() -> None:
    run = Run(RULES)
    failure = c.FailRun(code="no_model", message="the model is gone", principal_id=STARTER, now=T0)
    assert run.do(failure) == [e.RunFailed(code="no_model", message="the model is gone")]
    assert run.do(failure) == []


def test_a_deadline_that_has_passed_ends_the_run_at_the_next_ask() -> None:
    run = Run(outside_rules(limits={"deadline_s": 60}))
    late = msgspec.structs.replace(ask(), now=T0 + timedelta(seconds=60))
    assert kinds(run.do(late)) == ["ToolCallAsked", "RunExpired"]


@pytest.mark.parametrize("open_calls", [MAX_OPEN_ASKS - 1, MAX_OPEN_ASKS])
def test_calls_that_are_open_at_once_are_bounded(open_calls: int) -> None:
    run = Run(outside_rules(limits={"tool_calls": 200}))
    for number in range(open_calls):
        run.do(ask(f"ask_{number}"))
    if open_calls < MAX_OPEN_ASKS:
        assert run.do(ask("one more"))
    else:
        with pytest.raises(TooManyAsks):
            run.do(ask("one more"))


def test_a_fork_makes_the_open_calls_its_own() -> None:
    run = Run(RULES)
    run.do(ask("a"))
    run.do(failed(FIRST, error_class="permanent"))
    run.do(ask("b"))
    fork = c.ForkRun(
        run_id=RunId("run_2"),
        parent_run_id=R,
        parent_version=len(run.history) - 3,
        inherited=tuple(run.history[:-3]),
        forked_by=PrincipalId("prn_forker"),
        reason="again",
        deadline_at=T0 + timedelta(hours=1),
        now=T0,
    )
    facts = decide(fork, NotStarted(), RULES)
    child = fold(NotStarted(), facts)
    assert isinstance(child, Active)
    assert kinds(facts) == ["RunForked", "ToolCallRequested", "ToolCallJudged", "ToolCallDispatched"]
    assert [call_id.startswith("tcl_2-") for call_id in child.calls] == [True]
    assert child.open.keys() == {"call[1]"}
    assert child.asked["b"].call_id == child.open["call[1]"]


MOVES = ["ask", "write", "made up", "succeed", "fail", "pause", "resume", "withdraw", "finish", "give up", "again"]


class Agent:
    """One that does whatever it is told, in any order."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.asked = 0

    def does(self, move: str, which: int) -> None:
        asked = list(self.run.last.asked.values())
        if move in ("ask", "write", "made up"):
            self.asked += 1
            tool = {"ask": "test.read", "write": RESERVE, "made up": "test.nothing"}[move]
            self.run.do(ask(f"ask_{self.asked}", tool=tool))
        elif move in ("pause", "resume"):
            self.run.do((c.PauseRun if move == "pause" else c.ResumeRun)(reason="test", now=T0))
        elif move in ("finish", "give up"):
            self.run.do(finish() if move == "finish" else give_up())
        elif asked:
            self._moves(move, asked[which % len(asked)].call_id, list(self.run.last.asked)[which % len(asked)])

    def _moves(self, move: str, call_id: CallId, ask_id: str) -> None:
        if move == "again":
            assert self.run.do(ask(ask_id)) == []
        elif move == "withdraw":
            self.run.do(c.WithdrawCall(call_id=call_id, reason="test", principal_id=STARTER, now=T0))
        else:
            self.run.do((succeeded if move == "succeed" else failed)(call_id))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(MOVES), st.integers(0, 9)), max_size=30), st.sampled_from([RULES, OPEN]))
def test_whatever_an_agent_does_each_ask_is_one_call_at_most_with_one_outcome(
    moves: list[tuple[str, int]], rules: WorkflowRules
) -> None:
    run = Run(rules)
    agent = Agent(run)
    for move, which in moves:
        with suppress(CallInFlight, CallsStillOpen, RunIsPaused, RunNotActive):
            agent.does(move, which)
        assert fold(NotStarted(), run.history) == run.state
    last = run.last
    for ask_ in last.asked.values():
        requests = [
            fact for fact in run.history if isinstance(fact, e.ToolCallRequested) and fact.call_id == ask_.call_id
        ]
        assert len(requests) <= 1
        assert (ask_.step in last.outcomes) != (ask_.step in last.asks)
    assert last.open.keys() <= last.asks.keys()
    assert len({ask_.call_id for ask_ in last.asked.values()}) == len(last.asked)
    dispatched = {fact.call_id for fact in run.history if isinstance(fact, e.ToolCallDispatched)}
    assert dispatched <= {ask_.call_id for ask_ in last.asked.values()}


def test_an_ask_that_fits_no_commit_is_refused_and_ends_nothing() -> None:
    assert smaller(ask()) is None
    assert smaller(finish()) is None


@pytest.mark.parametrize(
    ("plain", "found"),
    [
        (outside_document(steps=[call("a")]) | {"steps": [call("a")]}, ("/steps", "not_for_planner")),
        (outside_document(result={}), ("/result", "not_for_planner")),
        ({**document(), "planner": "nobody"}, ("/planner", "not_allowed")),
        ({key: value for key, value in document().items() if key != "steps"}, ("/steps", "missing")),
    ],
)
def test_steps_are_for_the_planner_of_steps_alone(plain: Any, found: tuple[str, str]) -> None:
    with pytest.raises(Invalid) as refused:
        validate(plain, TOOLS, EXPRESSIONS)
    assert found in [(problem.path, problem.code) for problem in refused.value.problems]
