"""When a candidate that is being rolled out gets more calls, or none."""

from datetime import timedelta

from msgspec import Struct

from fairlead.domain.instant import Instant
from fairlead.domain.routing.asking import Reason
from fairlead.domain.routing.document import Rollout
from fairlead.domain.routing.hindering import misgivings
from fairlead.domain.routing.standing import Figures, Standing

KEPT_TO_GATES = "kept_to_gates"


class Move(Struct, frozen=True):
    share: int
    because: Reason


def next_move(rollout: Rollout, share: int, since: Instant, figures: Figures, now: Instant) -> Move | None:
    """`figures` are those since it got this share. None: it stays, because all is well or too little is known."""
    if share == 0:
        return None
    passed = next(misgivings(rollout.gates, Standing(figures=figures)), None)
    if passed is not None:
        return Move(0, passed)
    further = [stage for stage in rollout.stages if stage > share]
    if not further or now - since < timedelta(seconds=rollout.stage_s) or not _is_known(rollout, figures):
        return None
    return Move(
        further[0], Reason(code=KEPT_TO_GATES, value=figures.calls, bound=rollout.gates.least_calls, unit="calls")
    )


def _is_known(rollout: Rollout, figures: Figures) -> bool:
    gates = rollout.gates
    checked_enough = gates.min_quality_percent is None or figures.checked >= gates.least_calls
    return figures.calls >= gates.least_calls and checked_enough
