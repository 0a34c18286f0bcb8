"""What is counted of a model's work, and what happens when it is too much.

A handover is recorded as the choice `handed[0]`, `handed[1]`, … with its reason, who takes over, at which turn and what
was counted then. After a person has said that it goes on, counting begins anew from there.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from fairlead.domain.agents.history import Turn, call_key
from fairlead.domain.agents.offering import ASK
from fairlead.domain.canonical import canonical_sha256
from fairlead.domain.planning.seam import PlanView
from fairlead.domain.workflow.agent_section import Fallback, Over, Thresholds

Reason = Literal[
    "turns", "tool_failures", "retries", "cost_usd_micros", "confidence", "repetition", "no_progress", "model_failed"
]
COUNTED: tuple[Reason, ...] = (
    "repetition",
    "no_progress",
    "tool_failures",
    "retries",
    "cost_usd_micros",
    "turns",
)


class Handover(Struct, frozen=True, kw_only=True):
    """`turn` is the one after which it was handed over."""

    reason: Reason
    then: Fallback
    turn: int
    counted: float = 0

    def recorded(self) -> list[object]:
        return [self.reason, self.then, self.turn, self.counted]


def handovers(view: PlanView) -> list[Handover]:
    found: list[Handover] = []
    while isinstance(choice := view.choices.get(f"handed[{len(found)}]"), list):
        reason, then, turn, counted = choice
        found.append(Handover(reason=reason, then=then, turn=turn, counted=counted))
    return found


def counted(turns: Sequence[Turn], view: PlanView) -> dict[Reason, int]:
    """Of all turns so far."""
    seen: Counter[str] = Counter()
    failures = stale = 0
    for turn in turns:
        fresh = False
        for want, result in zip(turn.wants, turn.results, strict=True):
            if result is None:
                continue
            failures += result.is_error and want.fault != "not_alone"
            key = canonical_sha256([call_key(want), result.value])
            fresh = fresh or want.tool == ASK or (result.made and seen[key] == 0)
            seen[key] += result.made
        stale = 0 if fresh else stale + 1
    return {
        "turns": len(turns),
        "tool_failures": failures,
        "retries": view.used.retries,
        "cost_usd_micros": view.used.cost_usd_micros,
        "repetition": max(seen.values(), default=0),
        "no_progress": stale,
    }


def crossed(
    thresholds: Thresholds, turns: Sequence[Turn], view: PlanView, before: Sequence[Handover]
) -> Handover | None:
    """The first threshold that is passed and was not handed over already for as much."""
    known: Mapping[Reason, int] = counted(turns, view)
    for reason in COUNTED:
        limit: Over | None = getattr(thresholds, reason)
        if limit is None:
            continue
        base = max((each.counted for each in before if each.reason == reason), default=0)
        value = known[reason]
        if reason == "no_progress" and value < base:
            base = 0  # there was some in between
        if value - base > limit.over:
            return Handover(reason=reason, then=limit.then, turn=len(turns) - 1, counted=value)
    return None
