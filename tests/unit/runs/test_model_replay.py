"""A run that asked models, decided again from its events: the same decisions, and no model is asked."""

from datetime import timedelta
from typing import Any

import pytest
from fairlead_tenants.ids import PrincipalId, TenantId

from fairlead.domain.envelope import SYSTEM, Commit, Recorded, Sequence
from fairlead.domain.explaining import Evidence, why_ending, why_model_call
from fairlead.domain.ids import CommandId, QuestionId
from fairlead.domain.rerun import rerun
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import events as e
from fairlead.domain.runs.rules import WorkflowRules
from tests.support.clock import T0
from tests.support.runs import R
from tests.support.thinking import Thinking, checked, thinking_rules, turn


class Told(Thinking):
    """Keeps its history as the commits that the log would have."""

    def __init__(self, rules: WorkflowRules) -> None:
        self.commits: list[Recorded[Any]] = []
        super().__init__(rules)

    def do(self, command: c.RunCommand) -> list[e.RunEvent]:
        before = len(self.history)
        facts = super().do(command)
        if facts:
            number = len(self.commits) + 1
            commit: Commit[Any] = Commit(
                commit_id=CommandId(f"cmd_{number}"),
                tenant_id=TenantId("tnt_1"),
                kind="run",
                stream_id=R,
                first_version=before + 1,
                at=T0,
                actor=SYSTEM,
                events=tuple(facts),
            )
            self.commits.append(Recorded(Sequence(number), commit, b""))
        return facts


def whole(run: Told) -> None:
    run.send()
    run.answer()


def failing_over(run: Told) -> None:
    run.send()
    run.break_off("elsewhere")
    run.send(provider="other")
    run.break_off("again")
    due = run.asked.retry_at or T0
    run.do(c.FireAlarm(alarm=c.Alarm(kind="retry", key=run.asked.request.call_id, due_at=due), now=due))
    run.send()
    run.answer()


def invalid_at_first(run: Told) -> None:
    run.send()
    run.answer("three")
    run.send()
    run.answer('{"sum": 3}')


def given_more_money(run: Told) -> None:
    run.send(900)
    (asked,) = run.active.questions
    more = {"raise_by": 900}
    people = PrincipalId("prn_p")
    run.do(c.AnswerQuestion(question_id=QuestionId(asked), answer=more, principal_id=people, role_names=(), now=T0))
    run.send(900)
    run.answer()


def capped(run: Told) -> None:
    run.send(10_000_000)


CASES: list[tuple[WorkflowRules, Any]] = [
    (thinking_rules(turn(), turn("turn[1]")), whole),
    (thinking_rules(turn()), failing_over),
    (thinking_rules(checked()), invalid_at_first),
    (thinking_rules(turn(), cost_usd_micros=100, on_limit="ask"), given_more_money),
    (thinking_rules(turn()), capped),
]


@pytest.mark.parametrize(("rules", "goes"), CASES, ids=[goes.__name__ for _, goes in CASES])
def test_a_run_decided_again_from_its_events_comes_out_as_it_did(rules: WorkflowRules, goes: Any) -> None:
    run = Told(rules)
    goes(run)
    again = rerun(run.commits, lambda _: rules, lambda *_: {})
    assert again.parted is None
    assert again.commits == len(run.commits)


def test_another_planner_is_found_out_at_the_first_call_that_it_would_not_have_made() -> None:
    run = Told(thinking_rules(turn(), turn("turn[1]")))
    whole(run)
    other = thinking_rules(turn(), turn("turn[7]"))
    parted = rerun(run.commits, lambda _: other, lambda *_: {}).parted
    assert parted is not None
    assert parted.recorded is not None
    assert parted.recorded["step"] == "turn[1]"


def test_why_a_model_was_asked_names_who_was_chosen_and_what_came_of_it_without_what_was_said() -> None:
    run = Told(thinking_rules(turn()))
    failing_over(run)
    evidence = Evidence(run=run.commits, approvals={}, workflow=())
    why = why_model_call(evidence, "mcl_1-1")
    assert why is not None
    assert (why.part, why.facts["route"]) == ("action", "default")
    assert "request" not in why.facts
    rules = [each.type for each in why.because if each.part == "rule"]
    assert rules == ["model_call.routed.v1"] * 3
    effects = [each for each in why.because if each.part == "effect"]
    assert [each.type for each in effects][-1] == "model_call.completed.v1"
    assert all("answer" not in each.facts for each in effects)
    assert why_model_call(evidence, "mcl_1-9") is None


def test_the_end_of_a_run_goes_back_to_the_model_call_that_failed() -> None:
    run = Told(thinking_rules(turn(attempts=1)))
    run.send()
    run.break_off()
    why = why_ending(Evidence(run=run.commits, approvals={}, workflow=()))
    assert why is not None
    assert [each.type for each in why.because if each.part == "action"] == ["model_call.requested.v1"]
    assert run.ended.last.start.started_at + timedelta() == T0
