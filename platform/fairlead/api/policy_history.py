"""What a version of a policy makes of the newest calls: rules that never or always apply are told to whoever publishes
it. Bounded in calls and in time, and never in the way of what is published."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from time import monotonic

from fairlead_tenants.access import Permission, Principal
from msgspec import Struct

from fairlead.api.commit_pages import Within
from fairlead.api.parts import ApiParts
from fairlead.api.policy_rehearsal import Rehearsal, RunFound
from fairlead.api.run_access import within
from fairlead.domain.errors import Unavailable
from fairlead.domain.policies import Scope
from fairlead.domain.policy.layers import Layer

DAYS = 30
MAX_RUNS = 200
MAX_CALLS = 2_000
AT_MOST_S = 1.0


class RecentHistory(Struct, frozen=True, kw_only=True):
    """What the version says of the newest calls that the principal may see, `days` back. `complete` False: of those,
    only the first `calls` could be looked at in time. Rules that never or always apply are seldom meant so."""

    days: int
    runs: int
    calls: int
    complete: bool
    changed: int
    never_apply: list[str]
    always_apply: list[str]
    inexact: list[str]


async def recent_history(parts: ApiParts, principal: Principal, scope: Scope, layer: Layer) -> RecentHistory | None:
    """None where it cannot be known now."""
    until_s = monotonic() + AT_MOST_S
    where, since = within(principal, Permission.RUN_READ), parts.clock.now() - timedelta(days=DAYS)
    rehearsal = Rehearsal(parts, principal.tenant_id, scope, layer)
    try:
        runs = await rehearsal.newest(where, since, MAX_RUNS + 1)
        complete = len(runs) <= MAX_RUNS and await _through(rehearsal, where, runs[-MAX_RUNS:], until_s)
    except Unavailable:
        return None
    found = rehearsal.reckoned(0.0)
    return RecentHistory(
        days=DAYS,
        runs=found.runs,
        calls=found.calls,
        complete=complete,
        changed=found.changed,
        never_apply=found.never_apply,
        always_apply=found.always_apply,
        inexact=found.inexact,
    )


async def _through(rehearsal: Rehearsal, where: Within, runs: Sequence[RunFound], until_s: float) -> bool:
    """Whether all of it was gone through."""
    async for _ in rehearsal.of(where, _each(runs)):
        if rehearsal.calls >= MAX_CALLS or monotonic() > until_s:
            return False
    return True


async def _each(runs: Sequence[RunFound]) -> AsyncIterator[RunFound]:
    for run in runs:
        yield run
