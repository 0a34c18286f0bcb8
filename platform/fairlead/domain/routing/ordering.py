"""In which order the candidates of one tier are asked: those being rolled out by their share, then by weights or by a
figure."""

from collections.abc import Sequence

from msgspec import Struct

from fairlead.domain.routing.asking import Reason, Route, Wanted
from fairlead.domain.routing.document import Candidate, Prefer, Rollout
from fairlead.domain.routing.drawing import Lot, drawn, unit
from fairlead.domain.routing.hindering import bound_of
from fairlead.domain.routing.standing import Situation, Standing

EXPLORED = 0.1  # of calls go to candidates of which too little is known to prefer or leave them


class Ranked(Struct, frozen=True):
    candidate: Candidate
    why: tuple[Reason, ...]


def key_of(route: Route, wanted: Wanted) -> str:
    """What the lot is drawn with: the call, or what the route sticks to where the caller has said it."""
    stuck_to = "" if route.document.sticky == "none" else getattr(wanted, route.document.sticky)
    return f"{route.document.sticky}:{stuck_to}" if stuck_to else f"call:{wanted.call_id}"


def share_of(route: Route, candidate: Candidate, rollout: Rollout) -> int:
    """Percent; 0: it was rolled back."""
    return route.shares.get(candidate.id, rollout.stages[0])


def ranked(route: Route, wanted: Wanted, situation: Situation, group: Sequence[Candidate]) -> list[Ranked]:
    """All of them, the one to be asked first."""
    key = key_of(route, wanted)
    rolled = [(each, share_of(route, each, each.rollout)) for each in group if each.rollout]
    taken = [(each, share) for each, share in rolled if 100 * unit(key, f"rollout/{each.id}") < share]
    first = [Ranked(each, (Reason(code="rollout", value=share, bound=100, unit="percent"),)) for each, share in taken]
    settled = [each for each in group if each.rollout is None]
    names = {each.id for each, _ in taken}
    last = [Ranked(each, (Reason(code="next_in_order"),)) for each, _ in rolled if each.id not in names]
    if route.document.prefer == "weights":
        middle = _by_weight(key, settled)
    else:
        middle = _by_figure(route, wanted, situation, settled, key)
    stuck = (Reason(code="sticky", word=route.document.sticky),) if not key.startswith("call:") else ()
    return [Ranked(each.candidate, stuck + each.why) for each in (*first, *middle, *last)]


def _by_weight(key: str, group: Sequence[Candidate]) -> list[Ranked]:
    if len(group) == 1:
        return [Ranked(group[0], (Reason(code="only_one"),))]
    by_id = {each.id: each for each in group}
    order = [by_id[name] for name in drawn(key, [Lot(each.id, each.weight) for each in group])]
    total = sum(each.weight for each in group)
    first = order[:1]
    found = [
        Ranked(each, (Reason(code="weight", value=each.weight, bound=total) if each.weight else _NEXT,))
        for each in first
    ]
    rest = [each for each in group if each not in first]
    return found + [Ranked(each, (_NEXT,)) for each in rest]


def _by_figure(
    route: Route, wanted: Wanted, situation: Situation, group: Sequence[Candidate], key: str
) -> list[Ranked]:
    """Those of which nothing is known come last, but for a few calls, by which something comes to be known."""
    prefer, known, unknown = route.document.prefer, [], []
    for each in group:
        standing = situation.of(each)
        figure = _figure(prefer, route, wanted, each, standing)
        if figure is None:
            unknown.append(Ranked(each, (Reason(code="unmeasured"),)))
        else:
            known.append((-figure.value if prefer == "quality" and figure.value else figure.value, each, figure))
    known.sort(key=lambda found: found[0] or 0)
    measured = [Ranked(each, (figure,)) for _, each, figure in known]
    if unknown and unit(key, "explored") < EXPLORED:
        return unknown + measured
    return measured + unknown


def _figure(prefer: Prefer, route: Route, wanted: Wanted, candidate: Candidate, standing: Standing) -> Reason | None:
    figures, least = standing.figures, route.document.bounds.least_calls
    match prefer:
        case "price":
            assert standing.priced is not None, "without a price nobody is free"
            cost = bound_of(standing.priced, candidate, wanted, standing)
            return Reason(code="cheapest", value=cost, unit="usd_micros")
        case "latency" if figures.calls >= least and figures.p50_ms is not None:
            return Reason(code="quickest", value=figures.p50_ms, unit="ms")
        case "quality" if figures.checked >= least:
            return Reason(code="most_often_right", value=figures.quality_percent, unit="percent")
    return None


_NEXT = Reason(code="next_in_order")
