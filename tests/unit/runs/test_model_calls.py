"""What a run makes of model calls: asked, sent, answered, failed, refused, lost, and counted."""

from datetime import timedelta
from typing import Any

import pytest
from fairlead_tenants.ids import PrincipalId, TenantId
from msgspec.structs import replace

from fairlead.domain.ids import ModelCallId, QuestionId
from fairlead.domain.models.answer import Usage
from fairlead.domain.models.asking import most_input_tokens
from fairlead.domain.models.content import Image, Message
from fairlead.domain.models.request import AnswerSchema
from fairlead.domain.planning.seam import PlanView
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import events as e
from fairlead.domain.runs.decide import decide, smaller
from fairlead.domain.runs.errors import CallInFlight, RunIsPaused, RunNotActive
from fairlead.domain.runs.folding import fold
from fairlead.domain.runs.model_requests import asked_of_model, request_of
from fairlead.domain.runs.obligations import ModelOrder, Owed, after, awaiting, outstanding
from fairlead.domain.runs.states import NotStarted, RunState
from tests.support.clock import T0
from tests.support.runs import R, kinds
from tests.support.thinking import (
    Thinking,
    answered,
    broken,
    checked,
    question,
    refusal,
    routed,
    said,
    thinking_rules,
    turn,
)

TENANT = TenantId("tnt_1")
ONE = thinking_rules(turn())


def orders(owed: list[Owed]) -> list[ModelOrder]:
    return [each for each in owed if isinstance(each, ModelOrder)]


def owed_after(run: Thinking) -> list[ModelOrder]:
    return orders(after(TENANT, run.facts, run.state))


def of_door(run: Thinking, cost: int = 900, call_id: str = "mcl_door") -> c.BeginModelCall:
    request = asked_of_model(question(), call_id=ModelCallId(call_id), purpose="door", door="openai_chat")
    out = routed(run.asked, cost) if run.active.model_calls else None
    base = out or e.ModelCallRouted(
        call_id=ModelCallId(call_id),
        attempt=1,
        provider="acme_models",
        model="small",
        price_version="2026-01",
        reserved_usd_micros=cost,  # type: ignore[arg-type]  # a number is enough here
        until=T0 + timedelta(minutes=10),
    )
    return c.BeginModelCall(requested=request, routed=replace(base, call_id=ModelCallId(call_id), attempt=1), now=T0)


def test_a_planner_that_asks_a_model_has_it_requested_with_its_bounds_and_an_order_made() -> None:
    run = Thinking(ONE)
    assert kinds(run.facts) == ["RunStarted", "ModelCallRequested"]
    asked = run.asked.request
    assert (asked.call_id, asked.step, asked.route, asked.purpose) == ("mcl_1-1", "turn[0]", "default", "turn")
    assert asked.max_output_tokens == 100
    assert request_of(asked) == question()
    assert [(each.call_id, each.attempt) for each in owed_after(run)] == [("mcl_1-1", 1)]
    assert awaiting(run.active) == "work"


def test_a_request_without_a_bound_gets_one_for_what_has_none_cannot_be_reserved() -> None:
    unbounded = replace(question(), sampling=replace(question().sampling, max_output_tokens=None))
    asked = asked_of_model(unbounded, call_id=ModelCallId("mcl_1"), purpose="turn")
    assert request_of(asked).sampling.max_output_tokens == asked.max_output_tokens == 4_096


def test_a_picture_behind_an_address_counts_with_more_than_the_address() -> None:
    seen = replace(question(), messages=(Message(role="user", parts=(Image(url="https://a.example/b.png"),)),))
    assert most_input_tokens(seen) > 10_000 > most_input_tokens(question())


def test_what_is_recorded_of_a_request_holds_no_secret_and_keeps_its_schemas() -> None:
    schema = {"type": "object", "properties": {"password": {"type": "string"}}}
    request = question("sk-ant-" + "a" * 40, answer=AnswerSchema(document=schema))
    run = Thinking(thinking_rules(checked(request=request)))
    recorded = run.asked.request.request
    assert "aaaa" not in str(recorded["messages"])
    assert recorded["answer"]["document"] == schema


def test_an_answer_is_the_outcome_of_its_step_and_counts_what_it_used() -> None:
    run = Thinking(ONE)
    assert kinds(run.send()) == ["ModelCallRouted"]
    assert kinds(run.answer("42")) == ["ModelCallCompleted", "RunCompleted"]
    ended = run.ended
    output = ended.last.outcomes["turn[0]"].output
    assert (output["text"], output["finish"], output["tool_calls"]) == ("42", "stop", [])
    assert output["answer"]["parts"] == [{"type": "text", "text": "42"}]
    assert (ended.last.model_calls_used, ended.last.tokens_used, ended.last.cost_usd_micros) == (1, 25, 300)


def test_reporting_an_answer_twice_or_for_another_attempt_changes_nothing() -> None:
    run = Thinking(thinking_rules(turn(), turn("turn[1]")))
    run.send()
    first = answered(run.asked, said("42"))
    assert run.do(replace(first, attempt=2)) == []
    assert run.do(first)
    assert run.do(first) == []


def test_an_answer_whose_usage_nobody_said_counts_with_the_most_that_it_can_be() -> None:
    run = Thinking(ONE)
    run.send()
    most = run.asked.request.max_tokens
    run.do(answered(run.asked, replace(said("42"), usage=None), 900))
    assert run.ended.last.tokens_used == most


def test_an_answer_holds_no_secret_where_it_is_recorded() -> None:
    run = Thinking(ONE)
    run.send()
    run.answer("the key is sk-ant-" + "b" * 40)
    assert "bbbb" not in str(run.history)


@pytest.mark.parametrize(
    ("text", "value"),
    [('{"sum": 3}', {"sum": 3}), ('```json\n{"sum": 3}\n```', {"sum": 3}), ('  {"sum": 3}\n', {"sum": 3})],
)
def test_a_checked_answer_gives_its_value(text: str, value: Any) -> None:
    run = Thinking(thinking_rules(checked()))
    run.send()
    run.answer(text)
    assert run.ended.last.outcomes["sum"].output["value"] == value
    assert "answer" not in run.ended.last.outcomes["sum"].output


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"sum": "three"}', "/sum"),
        ("three", "no JSON"),
        ("{}", "/sum"),
        ('{"sum": 3', "no JSON"),
        ("``````", "no JSON"),
    ],
)
def test_a_checked_answer_that_does_not_fit_is_a_failed_attempt_that_has_cost_what_it_has(text: str, told: str) -> None:
    run = Thinking(thinking_rules(checked(attempts=2)))
    run.send()
    assert kinds(run.answer(text, cost=300)) == ["ModelCallAttemptFailed"]
    failed: Any = run.facts[0]
    assert (failed.code, failed.error_class, failed.charged_usd_micros) == ("answer_invalid", "validation", 300)
    assert told in failed.message
    assert [each.attempt for each in owed_after(run)] == [2]
    run.send()
    assert kinds(run.answer(text)) == ["ModelCallAttemptFailed", "ModelCallFailed", "RunFailed"]
    assert run.ended.last.cost_usd_micros == 600


def test_a_failed_attempt_is_followed_by_another_at_once_or_after_a_pause() -> None:
    run = Thinking(ONE)
    run.send()
    assert kinds(run.break_off("elsewhere")) == ["ModelCallAttemptFailed"]
    assert [each.attempt for each in owed_after(run)] == [2]
    run.send(provider="other_models")
    run.break_off("again", retry_after_s=30.0)
    assert awaiting(run.active) == "time"
    retry_at = run.asked.retry_at
    assert retry_at is not None
    assert retry_at >= T0 + timedelta(seconds=30)
    assert after(TENANT, run.facts, run.state)[0] == c.Alarm(kind="retry", key="mcl_1-1", due_at=retry_at)
    alarm = c.FireAlarm(alarm=c.Alarm(kind="retry", key="mcl_1-1", due_at=retry_at), now=retry_at)
    assert kinds(run.do(alarm)) == ["ModelCallResumed"]
    assert [each.attempt for each in owed_after(run)] == [3]
    assert run.do(alarm) == []


def test_when_no_attempts_are_left_the_step_fails_with_the_last_reason() -> None:
    run = Thinking(thinking_rules(turn(attempts=1)))
    run.send()
    assert kinds(run.break_off("elsewhere")) == ["ModelCallAttemptFailed", "ModelCallFailed", "RunFailed"]
    assert run.ended.ending == e.RunFailed(code="http_503", message="the provider answered 503", step="turn[0]")


def test_a_failure_that_nothing_helps_ends_the_call_though_attempts_are_left() -> None:
    run = Thinking(ONE)
    run.send()
    assert kinds(run.break_off("nothing"))[:2] == ["ModelCallAttemptFailed", "ModelCallFailed"]


def test_what_an_attempt_may_have_been_charged_counts_as_spent() -> None:
    run = Thinking(ONE)
    run.send(900)
    run.break_off(charged_usd_micros=900, charged_tokens=120)
    assert (run.active.cost_usd_micros, run.active.tokens_used) == (900, 120)


def test_whoever_takes_over_from_a_worker_that_is_gone_asks_again_and_counts_what_it_may_have_spent() -> None:
    run = Thinking(ONE)
    run.send(900)
    assert run.send(900) == []  # somebody else has it, and may be at it
    assert kinds(run.send(500, lost=True)) == ["ModelCallAttemptFailed", "ModelCallRouted"]
    lost: Any = run.facts[0]
    assert (lost.code, lost.charged_usd_micros) == ("attempt_lost", 900)
    assert run.asked.attempt == 2
    assert run.active.cost_usd_micros == 900


def test_a_call_that_is_lost_in_its_last_attempt_has_failed() -> None:
    run = Thinking(thinking_rules(turn(attempts=1)))
    run.send()
    assert kinds(run.send(lost=True)) == ["ModelCallAttemptFailed", "ModelCallFailed", "RunFailed"]


def test_a_refusal_says_who_refused_and_ends_the_step_as_denied() -> None:
    run = Thinking(ONE)
    assert kinds(run.do(refusal(run.asked.request.call_id))) == ["ModelCallRefused", "RunFailed"]
    assert run.ended.last.outcomes["turn[0]"].status == "denied"


def test_a_call_that_is_under_way_is_not_refused() -> None:
    run = Thinking(ONE)
    run.send()
    assert run.do(refusal(run.asked.request.call_id)) == []


def test_a_call_that_waits_says_so_once() -> None:
    run = Thinking(ONE)
    hold = c.HoldModelCall(
        call_id=run.asked.request.call_id, held_for="budget", subject="team", until=T0 + timedelta(seconds=5), now=T0
    )
    assert kinds(run.do(hold)) == ["ModelCallHeld"]
    assert run.do(replace(hold, until=T0 + timedelta(seconds=10))) == []
    run.send()
    assert run.asked.held is None


# --- limits ---------------------------------------------------------------------------------------------------------


def test_the_last_call_that_the_limit_allows_is_made_and_the_next_ends_the_run() -> None:
    run = Thinking(thinking_rules(turn(), turn("turn[1]"), turn("turn[2]"), model_calls=2))
    for _ in range(2):
        run.send()
        run.answer()
    assert run.facts[-1] == e.RunCapped(limit="model_calls", used=2, allowed=2)


def test_where_the_document_says_ask_people_may_give_more_calls() -> None:
    run = Thinking(thinking_rules(turn(), turn("turn[1]"), model_calls=1, on_limit="ask"))
    run.send()
    assert kinds(run.answer()) == ["ModelCallCompleted", "LimitReached", "QuestionAsked"]
    assert awaiting(run.active) == "person"
    assert kinds(run.do(raise_by(run, 1))) == ["QuestionAnswered", "LimitRaised", "ModelCallRequested"]


def raise_by(run: Thinking, more: int) -> c.AnswerQuestion:
    (asked,) = run.active.questions
    return c.AnswerQuestion(
        question_id=QuestionId(asked),
        answer={"raise_by": more},
        principal_id=PrincipalId("prn_p"),
        role_names=(),
        now=T0,
    )


def test_tokens_are_counted_with_the_most_that_a_call_can_use() -> None:
    most = Thinking(ONE).asked.request.max_tokens
    assert kinds(Thinking(thinking_rules(turn(), tokens=most)).facts)[-1] == "ModelCallRequested"
    capped = Thinking(thinking_rules(turn(), tokens=most - 1))
    assert capped.facts[-1] == e.RunCapped(limit="tokens", used=0, allowed=most - 1)


def test_calls_side_by_side_count_before_they_have_answered() -> None:
    most = Thinking(ONE).asked.request.max_tokens
    run = Thinking(thinking_rules(turn("a"), turn("b"), at_once=True, tokens=2 * most - 1))
    assert run.facts[-1] == e.RunCapped(limit="tokens", used=most, allowed=2 * most - 1)


def test_an_attempt_that_could_pass_the_limit_of_money_is_not_sent() -> None:
    at = Thinking(thinking_rules(turn(), cost_usd_micros=900))
    assert kinds(at.send(900)) == ["ModelCallRouted"]
    above = Thinking(thinking_rules(turn(), cost_usd_micros=899))
    assert above.send(900) == [e.RunCapped(limit="cost_usd_micros", used=0, allowed=899)]


def test_what_costs_nothing_is_sent_though_nothing_may_be_spent() -> None:
    run = Thinking(thinking_rules(turn(), cost_usd_micros=0))
    assert kinds(run.send(0)) == ["ModelCallRouted"]


def test_when_people_give_more_money_the_call_that_waited_for_it_is_ordered_again() -> None:
    run = Thinking(thinking_rules(turn(), cost_usd_micros=100, on_limit="ask"))
    assert kinds(run.send(900)) == ["LimitReached", "QuestionAsked"]
    assert awaiting(run.active) == "person"
    assert orders(outstanding(TENANT, run.state)) == []
    run.do(raise_by(run, 800))
    assert [each.attempt for each in owed_after(run)] == [1]
    assert kinds(run.send(900)) == ["ModelCallRouted"]


# --- a run that stands, ends, is repaired or forked -------------------------------------------------------------------


def test_nothing_is_sent_while_the_run_is_paused_and_its_order_is_made_again_afterwards() -> None:
    run = Thinking(ONE)
    run.do(c.PauseRun(reason="wait", now=T0))
    assert run.send() == []
    run.do(c.ResumeRun(reason="go", now=T0))
    assert [each.resumed for each in owed_after(run)] == [1]


def test_an_answer_that_comes_after_the_end_is_recorded_and_counted() -> None:
    run = Thinking(ONE)
    run.send()
    call = run.asked
    run.do(c.CancelRun(reason="enough", now=T0))
    assert kinds(run.do(answered(call, said("42")))) == ["ModelCallCompleted"]
    assert run.ended.last.cost_usd_micros == 300


def test_an_attempt_that_fails_after_the_end_is_not_followed_by_another() -> None:
    run = Thinking(ONE)
    run.send()
    call = run.asked
    run.do(c.CancelRun(reason="enough", now=T0))
    assert kinds(run.do(broken(call, "again"))) == ["ModelCallAttemptFailed", "ModelCallFailed"]


def test_a_call_past_the_deadline_ends_the_run_and_is_not_sent() -> None:
    run = Thinking(ONE)
    late = run.active.deadline_at
    route = c.RouteModelCall(routed=routed(run.asked), now=late)
    assert kinds(run.do(route)) == ["RunExpired"]


def test_a_person_may_skip_a_call_that_waits_and_give_its_result() -> None:
    run = Thinking(ONE)
    skip = c.RepairStep(step="turn[0]", repair="result_supplied", reason="known", now=T0, output={"text": "42"})
    run.send()
    with pytest.raises(CallInFlight):
        run.do(skip)
    run.break_off("again")
    assert kinds(run.do(skip)) == ["ModelCallReleased", "StepRepaired", "RunCompleted"]


def test_a_person_may_have_a_call_made_at_once_that_pauses() -> None:
    run = Thinking(ONE)
    run.send()
    run.break_off("again")
    again = c.RepairStep(step="turn[0]", repair="retried", reason="they are back", now=T0)
    assert kinds(run.do(again)) == ["StepRepaired", "ModelCallResumed"]


def test_a_fork_asks_again_what_its_parent_has_under_way() -> None:
    run = Thinking(thinking_rules(turn(), turn("turn[1]")))
    run.send()
    run.answer()
    run.send()
    fork = c.ForkRun(
        run_id=R,
        parent_run_id=R,
        parent_version=len(run.history),
        inherited=tuple(run.history),
        forked_by=PrincipalId("prn_p"),
        reason="again",
        deadline_at=T0 + timedelta(hours=1),
        now=T0,
    )
    facts = decide(fork, NotStarted(), run.rules)
    assert kinds(facts) == ["RunForked", "ModelCallRequested"]
    state: Any = fold(NotStarted(), facts)
    assert (state.model_calls_used, state.cost_usd_micros) == (2, 300)


def test_a_run_folds_to_the_same_from_its_history() -> None:
    run = Thinking(ONE)
    run.send()
    run.break_off()
    folded: RunState = fold(NotStarted(), run.history)
    assert folded == run.state


def test_an_answer_that_no_commit_can_hold_is_a_failure_that_has_cost_what_it_has() -> None:
    run = Thinking(ONE)
    run.send()
    shorter = smaller(answered(run.asked, said("long")))
    assert isinstance(shorter, c.CutShort)
    instead = smaller(shorter)
    assert isinstance(instead, c.RecordModelFailure)
    assert (instead.code, instead.charged_usd_micros, instead.charged_tokens) == ("answer_too_large", 300, 25)


# --- doors ------------------------------------------------------------------------------------------------------------


class _Idle:
    def plan(self, _: PlanView) -> list[Any]:
        return []


def standing(**limits: Any) -> Thinking:
    """A run whose calls all come from outside."""
    rules = thinking_rules(turn(), **limits)
    rules.planner = _Idle()
    return Thinking(rules)


def test_a_call_through_a_door_is_requested_and_routed_in_one_commit_and_brings_no_order() -> None:
    run = standing()
    assert kinds(run.do(of_door(run))) == ["ModelCallRequested", "ModelCallRouted"]
    assert orders(after(TENANT, run.facts, run.state)) == []
    assert run.active.steps_used == 0
    assert kinds(run.answer()) == ["ModelCallCompleted"]
    assert run.active.outcomes == {}
    assert run.active.cost_usd_micros == 300


def test_the_same_call_through_a_door_is_begun_once() -> None:
    run = standing()
    run.do(of_door(run))
    assert run.do(of_door(run)) == []


def test_a_call_through_a_door_counts_against_the_limits_of_its_run() -> None:
    run = standing(model_calls=1)
    run.do(of_door(run))
    run.answer()
    assert run.do(of_door(run, call_id="mcl_2")) == [e.RunCapped(limit="model_calls", used=1, allowed=1)]
    dear = standing(cost_usd_micros=10)
    assert dear.do(of_door(dear, 900)) == [e.RunCapped(limit="cost_usd_micros", used=0, allowed=10)]


def test_nothing_comes_through_a_door_to_a_run_that_stands_or_has_ended() -> None:
    run = standing()
    run.do(c.PauseRun(reason="wait", now=T0))
    with pytest.raises(RunIsPaused):
        run.do(of_door(run))
    run.do(c.CancelRun(reason="enough", now=T0))
    begun = of_door(standing())
    with pytest.raises(RunNotActive):
        run.do(begun)


def test_a_call_whose_door_went_away_without_a_word_is_over_when_its_time_is() -> None:
    run = standing()
    run.do(of_door(run))
    until = run.asked.routed.until if run.asked.routed else T0
    alarm = c.Alarm(kind="model", key="mcl_door", due_at=until)
    assert alarm in outstanding(TENANT, run.state)
    assert run.do(c.FireAlarm(alarm=alarm, now=until - timedelta(seconds=1))) == []
    assert kinds(run.do(c.FireAlarm(alarm=alarm, now=until))) == ["ModelCallAttemptFailed", "ModelCallFailed"]
    assert run.active.cost_usd_micros == 900


def test_what_detectors_found_stands_before_what_follows_from_it() -> None:
    run = Thinking(ONE)
    found = e.GuardrailFound(
        side="input", detector="injection", version="1", action="marked", where="/messages/0", call_id=ModelCallId("m")
    )
    facts = run.do(c.RouteModelCall(routed=routed(run.asked), now=T0, found=(found,)))
    assert kinds(facts) == ["GuardrailFound", "ModelCallRouted"]


def test_usage_that_was_told_is_kept_in_its_parts() -> None:
    run = Thinking(ONE)
    run.send()
    run.answer(usage=Usage(input_tokens=9, cached_input_tokens=4, output_tokens=3, reasoning_tokens=2))
    completed = next(fact for fact in run.history if isinstance(fact, e.ModelCallCompleted))
    assert completed.usage == e.TokensUsed(input=9, cached_input=4, output=3, reasoning=2)
