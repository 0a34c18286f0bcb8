"""Which model is asked, and why: case by case."""

from typing import Any

import pytest
from fairlead_sdk.models import Ability, Model

from fairlead.domain.routing.asking import Choice, NoRoute, Reason, Tried
from fairlead.domain.routing.choosing import choose
from fairlead.domain.routing.standing import Figures, Residency
from tests.support.routing import candidate, priced, route, service, situation, standing, wanted

HERE = standing()
OTHER = Model(name="x", context_tokens=9, max_output_tokens=9)
SLOW = standing(figures=Figures(calls=20, p50_ms=900, p95_ms=2_001))


def chosen(found: Choice | NoRoute) -> Choice:
    assert isinstance(found, Choice), found
    return found


def refused(found: Choice | NoRoute) -> NoRoute:
    assert isinstance(found, NoRoute), found
    return found


def codes(found: Choice | NoRoute) -> list[str]:
    return [reason.code for reason in chosen(found).why]


def passed_over(found: Choice | NoRoute) -> dict[str, str]:
    return {each.candidate: each.because.code for each in found.passed_over}


def failed(name: str, error_class: Any = "timeout") -> Tried:
    return Tried(candidate=name, error_class=error_class)


def test_the_lowest_tier_is_asked_first_and_the_choice_says_what_it_may_cost() -> None:
    found = chosen(
        choose(route(candidate("big", tier=1), candidate("small")), wanted(), situation(big=HERE, small=HERE))
    )
    assert (found.candidate, found.model, found.tier, found.attempt) == ("small", "small-1", 0, 1)
    assert (found.reserve_usd_micros, found.priced.version) == (100, "2026-03")
    assert Reason(code="costs_at_most", value=100, unit="usd_micros") in found.why


def test_what_went_wrong_goes_up_a_tier_and_the_choice_says_for_what() -> None:
    tiers = (candidate("small"), candidate("middle", tier=3), candidate("big", tier=7))
    asked = route(*tiers, escalation={"max_steps": 1})
    known = situation(small=HERE, middle=HERE, big=HERE)
    found = choose(asked, wanted(escalations=("schema_failure",)), known)
    assert chosen(found).candidate == "middle"
    assert "escalated_schema_failure" in codes(found)
    assert passed_over(found) == {"small": "below_tier"}


def test_nothing_goes_up_further_than_the_route_says() -> None:
    tiers = (candidate("small"), candidate("middle", tier=1), candidate("big", tier=2))
    asked = route(*tiers, escalation={"max_steps": 1, "on": ["schema_failure"]})
    known = situation(small=HERE, middle=HERE, big=HERE)
    twice = choose(asked, wanted(escalations=("schema_failure", "schema_failure")), known)
    assert chosen(twice).candidate == "middle"
    assert Reason(code="escalation_bound", value=2, bound=1, unit="calls") in chosen(twice).why
    other = choose(asked, wanted(escalations=("tool_error",)), known)
    assert chosen(other).candidate == "small"


def test_tools_that_keep_failing_go_up_once() -> None:
    asked = route(candidate("small"), candidate("big", tier=1), escalation={"tool_errors": 3})
    known = situation(small=HERE, big=HERE)
    assert chosen(choose(asked, wanted(tool_errors=2), known)).candidate == "small"
    found = choose(asked, wanted(tool_errors=3), known)
    assert (chosen(found).candidate, "escalated_tool_error" in codes(found)) == ("big", True)


def test_after_a_failure_another_provider_is_asked_before_the_same_one_again() -> None:
    asked = route(candidate("one"), candidate("two", weight=0), candidate("three", provider="other", weight=0))
    found = choose(asked, wanted(), situation(one=HERE, two=HERE, three=HERE), [failed("one")])
    assert (chosen(found).candidate, chosen(found).attempt) == ("three", 2)
    assert Reason(code="fallback", value=1, unit="calls", word="timeout") in chosen(found).why
    assert passed_over(found) == {"one": "already_tried", "two": "same_provider_failed"}


def test_fallbacks_go_in_the_order_of_the_document_and_then_up() -> None:
    tiers = [candidate("up", tier=1), candidate("first"), candidate("b", weight=0), candidate("a", weight=0)]
    asked = route(*tiers, fallback={"max_attempts": 10})
    known = situation(up=HERE, first=HERE, a=HERE, b=HERE)
    tried: list[Tried] = []
    for name in ("first", "b", "a", "up"):
        assert chosen(choose(asked, wanted(), known, tried)).candidate == name
        tried.append(failed(name, "permanent"))
    assert refused(choose(asked, wanted(), known, tried)).code == "already_tried"


def test_so_many_attempts_are_made_and_no_more() -> None:
    asked = route(candidate("a"), candidate("b"), candidate("c"), fallback={"max_attempts": 2})
    known = situation(a=HERE, b=HERE, c=HERE)
    assert chosen(choose(asked, wanted(), known, [failed("a")])).attempt == 2
    assert refused(choose(asked, wanted(), known, [failed("a"), failed("b")])).code == "attempts_used"


def test_nobody_else_is_asked_what_one_has_refused() -> None:
    found = choose(
        route(candidate("a"), candidate("b")), wanted(), situation(a=HERE, b=HERE), [failed("a", "content_refused")]
    )
    assert refused(found).code == "no_fallback"


def test_what_was_too_long_for_one_goes_only_to_one_that_reads_more() -> None:
    tiers = [
        candidate("a", context_tokens=1_000),
        candidate("b", context_tokens=1_000),
        candidate("c", context_tokens=2_000),
    ]
    found = choose(route(*tiers), wanted(), situation(a=HERE, b=HERE, c=HERE), [failed("a", "context_too_long")])
    assert chosen(found).candidate == "c"
    assert passed_over(found)["b"] == "context_not_larger"


@pytest.mark.parametrize(
    ("fields", "known", "by", "code"),
    [
        ({}, standing(service=None), "route", "provider_missing"),
        ({}, standing(service=service(models=(OTHER,))), "route", "model_unknown"),
        ({"task_classes": ["coding"]}, HERE, "route", "task_class"),
        ({"abilities": ["tools"]}, HERE, "route", "ability_missing"),
        ({"regions": ["us"]}, HERE, "residency", "region_not_allowed"),
        ({"regions": ["eu"]}, standing(service=service(regions=("us",))), "residency", "region_not_served"),
        ({}, HERE, "residency", "region_unknown"),
        ({"regions": ["eu"], "provider": "stranger"}, HERE, "residency", "provider_not_allowed"),
        ({"regions": ["eu"], "context_tokens": 1_099}, HERE, "route", "too_long"),
        ({"regions": ["eu"], "max_output_tokens": 99}, HERE, "route", "answer_too_long"),
        ({"regions": ["eu"]}, standing(priced=None), "price", "price_unknown"),
        ({"regions": ["eu"]}, standing(priced=priced(5_000_001)), "price", "over_price"),
        ({"regions": ["eu"]}, standing(priced=priced(3_000_001)), "budget", "over_budget"),
        ({"regions": ["eu"]}, standing(room_in_s=1.2), "limit", "no_room"),
        ({"regions": ["eu"]}, standing(breaker="open", cools_in_s=1.2), "limit", "breaker_open"),
    ],
)  # fmt: skip
def test_a_model_that_does_not_fit_is_passed_over_and_the_answer_says_why(
    fields: dict[str, Any], known: Any, by: str, code: str
) -> None:
    residency = Residency(regions=frozenset({"eu"}), providers=frozenset({"acme"}))
    asked = route(candidate("a", **fields), bounds={"max_call_usd_micros": 500})
    call = wanted(
        input_size_bytes=4_000,
        budget_left_usd_micros=300,
        abilities=frozenset({Ability.STRUCTURED}) if code == "ability_missing" else frozenset(),
    )
    found = refused(choose(asked, call, situation(residency, a=known)))
    assert (found.by, found.code, passed_over(found)) == (by, code, {"a": code})
    assert (found.retry_after_s == 1.2) is (by == "limit")


def test_a_price_and_a_context_that_just_suffice_do() -> None:
    asked = route(candidate("a", context_tokens=1_100, max_output_tokens=100), bounds={"max_call_usd_micros": 500})
    call = wanted(input_size_bytes=4_000, budget_left_usd_micros=500)
    assert chosen(choose(asked, call, situation(a=standing(priced=priced(5_000_000))))).reserve_usd_micros == 500


def test_who_is_slow_or_often_wrong_is_asked_when_nobody_else_is_left() -> None:
    asked = route(candidate("a"), candidate("b", weight=0), bounds={"max_p95_ms": 2_000})
    found = choose(asked, wanted(), situation(a=SLOW, b=HERE))
    assert chosen(found).candidate == "b"
    assert passed_over(found) == {"a": "slow"}
    alone = choose(asked, wanted(), situation(a=SLOW, b=HERE), [failed("b", "permanent")])
    assert chosen(alone).candidate == "a"
    assert Reason(code="slow", value=2_001, bound=2_000, unit="ms") in chosen(alone).why


def test_a_figure_of_too_few_calls_says_nothing() -> None:
    few = standing(figures=Figures(calls=19, failures=19, p95_ms=9_000, checked=19))
    bounds = {"max_p95_ms": 1, "max_failure_percent": 0, "min_quality_percent": 100}
    asked = route(candidate("a"), candidate("b", weight=0), bounds=bounds)
    assert chosen(choose(asked, wanted(), situation(a=few, b=HERE))).candidate == "a"


@pytest.mark.parametrize(
    ("prefer", "better", "worse", "code"),
    [
        ("price", standing(priced=priced(1)), standing(priced=priced(1_000_000)), "cheapest"),
        ("latency", standing(figures=Figures(calls=20, p50_ms=10)), SLOW, "quickest"),
        (
            "quality",
            standing(figures=Figures(checked=20, right=19)),
            standing(figures=Figures(checked=20, right=18)),
            "most_often_right",
        ),
    ],
)
def test_the_better_figure_is_preferred(prefer: str, better: Any, worse: Any, code: str) -> None:
    asked = route(candidate("a"), candidate("b"), prefer=prefer)
    found = choose(asked, wanted(), situation(a=worse, b=better))
    assert (chosen(found).candidate, code in codes(found)) == ("b", True)


def test_some_calls_go_to_those_of_whom_nothing_is_known() -> None:
    asked = route(candidate("a"), candidate("b"), prefer="latency")
    known = situation(a=SLOW, b=HERE)
    found = [chosen(choose(asked, wanted(f"mcl_{number}"), known)) for number in range(400)]
    explored = [each for each in found if each.candidate == "b"]
    assert 15 < len(explored) < 75
    assert all(any(reason.code == "unmeasured" for reason in each.why) for each in explored)


def test_what_is_rolled_out_gets_its_share_and_none_once_it_fails_its_gates() -> None:
    rollout = {"stages": [10, 50], "gates": {"max_failure_percent": 2}}
    tiers = (candidate("old"), candidate("new", rollout=rollout))
    calls = [wanted(f"mcl_{number}") for number in range(600)]
    known = situation(old=HERE, new=HERE)
    first = {call.call_id for call in calls if chosen(choose(route(*tiers), call, known)).candidate == "new"}
    later = {
        call.call_id
        for call in calls
        if chosen(choose(route(*tiers, shares={"new": 50}), call, known)).candidate == "new"
    }
    assert 30 < len(first) < 95
    assert 240 < len(later) < 360
    assert first < later
    failing = situation(old=HERE, new=standing(figures=Figures(calls=20, failures=1)))
    few = calls[:30]
    assert {chosen(choose(route(*tiers), call, failing)).candidate for call in few} == {"old"}
    back = route(*tiers, shares={"new": 0})
    assert {chosen(choose(back, call, known)).candidate for call in few} == {"old"}


def test_one_call_finds_out_whether_a_provider_answers_again() -> None:
    found = chosen(choose(route(candidate("a")), wanted(), situation(a=standing(breaker="cooled"))))
    assert found.probe
    assert "probe" in codes(found)


def test_a_route_is_not_used_for_what_it_is_not_for() -> None:
    asked = route(candidate("a"), task_classes=["summary"])
    assert refused(choose(asked, wanted(task_class="coding"), situation(a=HERE))).code == "task_class"
    assert (
        Reason(code="task_class", word="summary")
        in chosen(choose(asked, wanted(task_class="summary"), situation(a=HERE))).why
    )
