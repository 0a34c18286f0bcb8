"""Chooses a model for a call. The same answer for the same inputs; what led to it is part of the answer."""

from collections.abc import Sequence
from itertools import groupby

from msgspec import Struct

from fairlead.domain.money import UsdMicros
from fairlead.domain.routing.asking import Choice, NoRoute, PassedOver, Reason, Route, Tried, Wanted
from fairlead.domain.routing.document import Candidate
from fairlead.domain.routing.hindering import (
    CODES,
    OF_PROVIDER,
    REFUSED_BY,
    TEMPORARY,
    bound_of,
    hindrance,
    misgivings,
    output_tokens,
)
from fairlead.domain.routing.ordering import Ranked, ranked
from fairlead.domain.routing.standing import Situation, regions_of

_SAYS = {
    "residency": "no model of the route is in a region and of a provider that may see this",
    "price": "no model of the route has a price that the route allows",
    "budget": "no model of the route costs as little as is left",
    "limit": "no model of the route can be asked just now",
    "route": "no model of the route fits",
}


class _Level(Struct, frozen=True):
    """The lowest tier that is asked, and the words about it."""

    tier: int
    why: tuple[Reason, ...]


def choose(route: Route, wanted: Wanted, situation: Situation, tried: Sequence[Tried] = ()) -> Choice | NoRoute:
    """`tried` are the attempts of this call so far, the last one last."""
    if (refused := _over(route, wanted, tried)) is not None:
        return refused
    level = _level(route, wanted)
    passed: list[PassedOver] = []
    free: list[Candidate] = []
    for candidate in route.document.candidates:
        found = hindrance(candidate, route, wanted, situation, tried)
        if candidate.tier < level.tier and (found is None or CODES.index(found.code) > CODES.index("below_tier")):
            found = Reason(code="below_tier", value=candidate.tier, bound=level.tier, unit="tier")
        if found is None:
            free.append(candidate)
        else:
            passed.append(PassedOver(candidate=candidate.id, because=found))
    order, put_last = _order(route, wanted, situation, tried, free)
    if not order:
        return _none(route, situation, passed)
    first = order[0]
    later = [each for each in put_last if each.candidate != first.candidate.id]
    return _choice(route, wanted, situation, tried, first, level, (*passed, *later))


def _over(route: Route, wanted: Wanted, tried: Sequence[Tried]) -> NoRoute | None:
    document = route.document
    if document.task_classes and wanted.task_class and wanted.task_class not in document.task_classes:
        return _refused(route, "task_class", "the route is not for tasks of this class")
    if len(tried) >= document.fallback.max_attempts:
        return _refused(route, "attempts_used", f"{len(tried)} attempts were made, and no more may be")
    if tried and tried[-1].error_class not in document.fallback.on:
        return _refused(route, "no_fallback", f"the route does not go on after {tried[-1].error_class}")
    return None


def _refused(route: Route, code: str, reason: str) -> NoRoute:
    return NoRoute(by="route", code=code, reason=reason, route=route.name, route_version=route.version)


def _level(route: Route, wanted: Wanted) -> _Level:
    """Each escalation that counts goes up by one of the tiers that there are."""
    tiers = sorted({candidate.tier for candidate in route.document.candidates})
    rules = route.document.escalation
    counted = [cause for cause in wanted.escalations if rules is not None and cause in rules.on]
    if rules is not None and "tool_error" in rules.on and wanted.tool_errors >= rules.tool_errors:
        counted.append("tool_error")
    steps = min(len(counted), rules.max_steps if rules else 0, len(tiers) - 1)
    why = [Reason(code=f"escalated_{cause}") for cause in counted[:steps]]
    if len(counted) > steps:
        why.append(Reason(code="escalation_bound", value=len(counted), bound=steps, unit="calls"))
    return _Level(tiers[steps], tuple(why))


def _order(
    route: Route, wanted: Wanted, situation: Situation, tried: Sequence[Tried], free: Sequence[Candidate]
) -> tuple[list[Ranked], list[PassedOver]]:
    """Tier by tier; before the next tier is asked, nobody of this one is without misgivings. Then those with some."""
    failed = {each.candidate for each in tried if each.error_class in OF_PROVIDER}
    providers = {candidate.provider for candidate in route.document.candidates if candidate.id in failed}
    content: list[Ranked] = []
    doubted: list[Ranked] = []
    put_last: list[PassedOver] = []
    by_tier = sorted(free, key=lambda candidate: candidate.tier)
    for _, group in groupby(by_tier, key=lambda candidate: candidate.tier):
        for each in ranked(route, wanted, situation, list(group)):
            candidate = each.candidate
            doubts = list(misgivings(route.document.bounds, situation.of(candidate)))
            if candidate.provider in providers:
                doubts.insert(0, Reason(code="same_provider_failed", word=candidate.provider))
            if doubts:
                put_last.append(PassedOver(candidate=candidate.id, because=doubts[0]))
                doubted.append(Ranked(candidate, (doubts[0], *each.why)))
            else:
                content.append(each)
        if content:
            break
    return content + doubted, put_last


def _choice(
    route: Route,
    wanted: Wanted,
    situation: Situation,
    tried: Sequence[Tried],
    first: Ranked,
    level: _Level,
    passed: tuple[PassedOver, ...],
) -> Choice:
    candidate, document = first.candidate, route.document
    standing = situation.of(candidate)
    assert standing.priced is not None, "without a price nobody is free"
    cost = bound_of(standing.priced, candidate, wanted, standing)
    why = [Reason(code="route_version", value=route.version, unit="version"), *level.why]
    if wanted.task_class:
        why.append(Reason(code="task_class", word=wanted.task_class))
    if tried:
        why.append(Reason(code="fallback", value=len(tried), unit="calls", word=tried[-1].error_class))
    if candidate.tier > level.tier:
        why.append(Reason(code="tier_above", value=candidate.tier, bound=level.tier, unit="tier"))
    why += first.why
    why.append(Reason(code="costs_at_most", value=cost, bound=document.bounds.max_call_usd_micros, unit="usd_micros"))
    if standing.breaker == "cooled":
        why.append(Reason(code="probe"))
    return Choice(
        route=route.name,
        route_version=route.version,
        candidate=candidate.id,
        provider=candidate.provider,
        model=candidate.model,
        connection=candidate.connection,
        region="+".join(sorted(regions_of(candidate, standing))),
        tier=candidate.tier,
        attempt=len(tried) + 1,
        priced=standing.priced,
        max_output_tokens=output_tokens(candidate, wanted, standing),
        reserve_usd_micros=UsdMicros(cost),
        why=tuple(why),
        passed_over=passed,
        cache=document.cache,
        max_attempts=document.fallback.max_attempts,
        probe=standing.breaker == "cooled",
    )


def _none(route: Route, situation: Situation, passed: Sequence[PassedOver]) -> NoRoute:
    """Named after whoever came furthest."""
    furthest = max(passed, key=lambda each: CODES.index(each.because.code))
    code = furthest.because.code
    by = REFUSED_BY[code]
    waits = [
        max(standing.room_in_s, standing.cools_in_s if standing.breaker == "open" else 0.0)
        for each in passed
        if each.because.code in TEMPORARY
        for standing in (situation.standing[each.candidate],)
    ]
    return NoRoute(
        by=by,
        code=code,
        reason=_SAYS[by],
        route=route.name,
        route_version=route.version,
        passed_over=tuple(passed),
        retry_after_s=min(waits, default=None),
    )
