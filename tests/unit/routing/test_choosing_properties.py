"""Whatever a route says and whatever is known: what never happens, and what always does."""

from collections import Counter
from typing import Any

from fairlead_sdk.models import Ability
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.domain.routing.asking import Choice, Route, Tried, Wanted
from fairlead.domain.routing.choosing import choose
from fairlead.domain.routing.drawing import Lot, drawn
from fairlead.domain.routing.standing import Figures, Residency, Situation, abilities_of, regions_of
from tests.support.routing import candidate, priced, route, service, situation, standing, wanted

REGIONS = ("eu", "us", "ch")
names = st.sampled_from(["a", "b", "c", "d", "e"])
some_regions = st.frozensets(st.sampled_from(REGIONS), max_size=3)
some_abilities = st.frozensets(st.sampled_from(Ability), max_size=3)


@st.composite
def candidates(draw: st.DrawFn, name: str) -> dict[str, Any]:
    return candidate(
        name,
        provider=draw(st.sampled_from(["acme", "other"])),
        tier=draw(st.integers(0, 2)),
        weight=draw(st.integers(0, 5)),
        abilities=sorted(draw(some_abilities)),
        regions=sorted(draw(some_regions)),
    )


@st.composite
def asked(draw: st.DrawFn) -> tuple[Route, Wanted, Situation, list[Tried]]:
    ids = draw(st.lists(names, min_size=1, max_size=5, unique=True))
    found = route(
        *[draw(candidates(name)) for name in ids],
        prefer=draw(st.sampled_from(["weights", "price", "latency", "quality"])),
        sticky=draw(st.sampled_from(["none", "run"])),
        abilities=sorted(draw(some_abilities)),
        fallback={"max_attempts": 5},
    )
    known = {
        name: standing(
            service=draw(st.sampled_from([None, service(), service(regions=("eu", "us"))])),
            priced=draw(st.sampled_from([None, priced(1), priced(1_000_000)])),
            breaker=draw(st.sampled_from(["closed", "cooled", "open"])),
            room_in_s=draw(st.sampled_from([0.0, 3.0])),
            figures=Figures(calls=draw(st.integers(0, 30)), p50_ms=5, p95_ms=9),
        )
        for name in ids
    }
    limited = draw(st.sampled_from([None, frozenset({"eu"}), frozenset({"eu", "us"}), frozenset[str]()]))
    residency = Residency(regions=limited, providers=draw(st.sampled_from([None, frozenset({"acme"})])))
    call = wanted(draw(st.text(max_size=5)), run=draw(st.text(max_size=3)), abilities=draw(some_abilities))
    tried = [Tried(candidate=name, error_class="timeout") for name in draw(st.lists(names, max_size=3))]
    return found, call, situation(residency, **known), tried


@settings(max_examples=50, deadline=None)
@given(asked())
def test_nobody_is_chosen_who_may_not_see_it_or_cannot_do_it(
    case: tuple[Route, Wanted, Situation, list[Tried]],
) -> None:
    found, call, known, tried = case
    answer = choose(found, call, known, tried)
    assert answer == choose(found, call, known, tried)
    by_id = {each.id: each for each in found.document.candidates}
    if not isinstance(answer, Choice):
        assert {each.candidate for each in answer.passed_over} == set(by_id)
        return
    one = by_id[answer.candidate]
    standing_of = known.of(one)
    allowed, providers = known.residency.regions, known.residency.providers
    assert allowed is None or (regions_of(one, standing_of) and regions_of(one, standing_of) <= allowed)
    assert providers is None or one.provider in providers
    assert abilities_of(one, standing_of) >= call.abilities | set(found.document.abilities)
    assert standing_of.priced is not None
    assert standing_of.room_in_s == 0
    assert standing_of.breaker != "open"
    assert one.id not in {each.candidate for each in tried}
    assert answer.candidate not in {each.candidate for each in answer.passed_over}
    assert all(reason.code for reason in answer.why)


@settings(max_examples=5, deadline=None)
@given(st.lists(st.integers(1, 10), min_size=2, max_size=4))
def test_each_gets_its_share_of_calls(weights: list[int]) -> None:
    tiers = [candidate(f"c{number}", weight=weight) for number, weight in enumerate(weights)]
    known = situation(**{each["id"]: standing() for each in tiers})
    asked_for = route(*tiers)
    calls = 600
    found = Counter(
        answer.candidate
        for number in range(calls)
        if isinstance(answer := choose(asked_for, wanted(f"mcl_{number}"), known), Choice)
    )
    for each in tiers:
        expected = each["weight"] / sum(weights)
        assert abs(found[each["id"]] / calls - expected) < 0.1


@settings(max_examples=50, deadline=None)
@given(key=st.text(max_size=20), weights=st.lists(st.integers(1, 100), min_size=2, max_size=6), more=st.integers(1, 50))
def test_who_was_drawn_stays_while_others_leave_and_while_it_gains_weight(
    key: str, weights: list[int], more: int
) -> None:
    lots = [Lot(f"c{number}", weight) for number, weight in enumerate(weights)]
    first, *others = drawn(key, lots)
    assert sorted([first, *others]) == sorted(lot.name for lot in lots)
    for gone in others:
        assert drawn(key, [lot for lot in lots if lot.name != gone])[0] == first
    heavier = [Lot(lot.name, lot.weight + more) if lot.name == first else lot for lot in lots]
    assert drawn(key, heavier)[0] == first


@settings(max_examples=30, deadline=None)
@given(run=st.text(min_size=1, max_size=10), calls=st.lists(st.text(max_size=10), min_size=1, max_size=10))
def test_calls_of_one_run_stay_with_one_model_and_come_back_to_it(run: str, calls: list[str]) -> None:
    stuck = route(candidate("a", weight=3), candidate("b"), candidate("c"), sticky="run")
    known = {"a": standing(), "b": standing(), "c": standing()}
    found = {_candidate(stuck, wanted(call, run=run), situation(**known)) for call in calls}
    assert len(found) == 1
    (first,) = found
    without = situation(**{**known, first: standing(room_in_s=1.0)})
    assert _candidate(stuck, wanted(calls[0], run=run), without) != first
    assert _candidate(stuck, wanted(calls[0], run=run), situation(**known)) == first


def _candidate(of: Route, call: Wanted, known: Situation) -> str:
    answer = choose(of, call, known)
    assert isinstance(answer, Choice)
    return answer.candidate
