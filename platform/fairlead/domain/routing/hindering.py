"""Why a candidate cannot be asked, or only when nobody else is left."""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from fairlead.domain.prices import Priced
from fairlead.domain.routing.asking import OUTPUT_TOKENS, Reason, RefusedBy, Route, Tried, Wanted
from fairlead.domain.routing.document import Bounds, Candidate
from fairlead.domain.routing.standing import (
    Residency,
    Situation,
    Standing,
    abilities_of,
    context_of,
    declared,
    longest_answer,
    regions_of,
)

OF_PROVIDER = ("transient", "rate_limited", "timeout")  # others of the same provider will hardly do better

# In the order in which they are looked at: where nobody is left, the one who came furthest says why.
REFUSED_BY: dict[str, RefusedBy] = {
    "provider_missing": "route",
    "model_unknown": "route",
    "task_class": "route",
    "ability_missing": "route",
    "provider_not_allowed": "residency",
    "region_not_served": "residency",
    "region_unknown": "residency",
    "region_not_allowed": "residency",
    "too_long": "route",
    "answer_too_long": "route",
    "price_unknown": "price",
    "over_price": "price",
    "over_budget": "budget",
    "below_tier": "route",
    "already_tried": "route",
    "context_not_larger": "route",
    "rolled_back": "route",
    "no_room": "limit",
    "breaker_open": "limit",
}
CODES = tuple(REFUSED_BY)
TEMPORARY = ("no_room", "breaker_open")


def hindrance(
    candidate: Candidate, route: Route, wanted: Wanted, situation: Situation, tried: Sequence[Tried]
) -> Reason | None:
    """The first that there is, in the order of CODES. The tier is for whoever knows all candidates to judge."""
    standing = situation.of(candidate)
    for found in (
        _unfit(candidate, route, wanted, standing),
        _elsewhere(candidate, route, standing, situation.residency),
        _too_long(candidate, wanted, standing),
        _too_dear(candidate, route, wanted, standing),
        _tried(candidate, route, situation, tried),
        _rolled_back(candidate, route, standing),
        _not_now(standing),
    ):
        if found is not None:
            return found
    return None


def output_tokens(candidate: Candidate, wanted: Wanted, standing: Standing) -> int:
    """What is asked for at most."""
    longest = longest_answer(candidate, standing)
    if wanted.max_output_tokens is not None:
        return wanted.max_output_tokens
    usual = standing.service.default_max_tokens if standing.service else OUTPUT_TOKENS
    return usual if longest is None else min(longest, usual)


def bound_of(priced: Priced, candidate: Candidate, wanted: Wanted, standing: Standing) -> int:
    return priced.rates.bound(wanted.input_size_bytes, output_tokens(candidate, wanted, standing))


def misgivings(bounds: Bounds, standing: Standing) -> Iterator[Reason]:
    """Figures past their bounds, of which enough is known."""
    known = standing.figures
    if known.calls >= bounds.least_calls:
        failing, most_failing = known.failure_percent, bounds.max_failure_percent
        if most_failing is not None and failing > most_failing:
            yield Reason(code="fails_often", value=failing, bound=most_failing, unit="percent")
        slow, slowest = known.p95_ms, bounds.max_p95_ms
        if slow is not None and slowest is not None and slow > slowest:
            yield Reason(code="slow", value=slow, bound=slowest, unit="ms")
    right, least_right = known.quality_percent, bounds.min_quality_percent
    if known.checked >= bounds.least_calls and least_right is not None and right < least_right:
        yield Reason(code="often_wrong", value=right, bound=least_right, unit="percent")


def outside(regions: frozenset[str], allowed: frozenset[str] | None) -> Reason | None:
    """Why what may be read in these regions may not be sent."""
    if allowed is None:
        return None
    if not regions:
        return Reason(code="region_unknown")
    foreign = sorted(regions - allowed)
    return Reason(code="region_not_allowed", word=foreign[0]) if foreign else None


def _unfit(candidate: Candidate, route: Route, wanted: Wanted, standing: Standing) -> Reason | None:
    if standing.service is None:
        return Reason(code="provider_missing", word=candidate.provider)
    if standing.service.models and declared(candidate, standing) is None:
        return Reason(code="model_unknown", word=candidate.model)
    if candidate.task_classes and wanted.task_class not in candidate.task_classes:
        return Reason(code="task_class", word=wanted.task_class)
    lacking = sorted((wanted.abilities | set(route.document.abilities)) - abilities_of(candidate, standing))
    return Reason(code="ability_missing", word=lacking[0]) if lacking else None


def _elsewhere(candidate: Candidate, route: Route, standing: Standing, residency: Residency) -> Reason | None:
    if residency.providers is not None and candidate.provider not in residency.providers:
        return Reason(code="provider_not_allowed", word=candidate.provider)
    regions, served = regions_of(candidate, standing), standing.service.regions if standing.service else ()
    if served and (unserved := sorted(regions - set(served))):
        return Reason(code="region_not_served", word=unserved[0])
    of_route = None if route.document.regions is None else frozenset(route.document.regions)
    return outside(regions, residency.regions) or outside(regions, of_route)


def _too_long(candidate: Candidate, wanted: Wanted, standing: Standing) -> Reason | None:
    context, longest = context_of(candidate, standing), longest_answer(candidate, standing)
    asked = output_tokens(candidate, wanted, standing)
    if context is not None and wanted.input_tokens + asked > context:
        return Reason(code="too_long", value=wanted.input_tokens + asked, bound=context, unit="tokens")
    if longest is not None and asked > longest:
        return Reason(code="answer_too_long", value=asked, bound=longest, unit="tokens")
    return None


def _too_dear(candidate: Candidate, route: Route, wanted: Wanted, standing: Standing) -> Reason | None:
    if standing.priced is None:
        return Reason(code="price_unknown", word=candidate.model)
    cost = bound_of(standing.priced, candidate, wanted, standing)
    most, left = route.document.bounds.max_call_usd_micros, wanted.budget_left_usd_micros
    if most is not None and cost > most:
        return Reason(code="over_price", value=cost, bound=most, unit="usd_micros")
    if left is not None and cost > left:
        return Reason(code="over_budget", value=cost, bound=left, unit="usd_micros")
    return None


def _tried(candidate: Candidate, route: Route, situation: Situation, tried: Sequence[Tried]) -> Reason | None:
    times = sum(each.candidate == candidate.id for each in tried)
    if times >= route.document.fallback.attempts_each:
        return Reason(code="already_tried", value=times, unit="calls")
    context = context_of(candidate, situation.of(candidate))
    by_id = {each.id: each for each in route.document.candidates}
    for each in tried:
        if each.error_class == "context_too_long" and (failed := by_id.get(each.candidate)) is not None:
            reached = context_of(failed, situation.of(failed))
            if context is None or reached is None or context <= reached:
                return Reason(code="context_not_larger", value=context, bound=reached, unit="tokens")
    return None


def _rolled_back(candidate: Candidate, route: Route, standing: Standing) -> Reason | None:
    """By those who look after it, or because a gate is passed already."""
    if candidate.rollout is None:
        return None
    if route.shares.get(candidate.id) == 0:
        return Reason(code="rolled_back")
    passed = next(misgivings(candidate.rollout.gates, standing), None)
    return replace(passed, code="rolled_back", word=passed.code) if passed else None


def _not_now(standing: Standing) -> Reason | None:
    if standing.room_in_s > 0:
        return Reason(code="no_room", value=-int(-standing.room_in_s // 1), unit="s")
    if standing.breaker == "open":
        return Reason(code="breaker_open", value=-int(-standing.cools_in_s // 1), unit="s")
    return None
