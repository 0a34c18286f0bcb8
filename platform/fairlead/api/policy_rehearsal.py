"""One version of a policy against the calls of the past, in the order in which they were judged, in bounded memory."""

import heapq
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Sequence

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.api.commit_pages import Within
from fairlead.api.parts import ApiParts
from fairlead.domain.envelope import StreamRef
from fairlead.domain.ids import RunId, WorkflowId
from fairlead.domain.instant import Instant
from fairlead.domain.policies import Scope
from fairlead.domain.policy.document import Rule
from fairlead.domain.policy.explaining import Explanation
from fairlead.domain.policy.layers import Layer
from fairlead.domain.policy.reckoning import Reckoning, Tallying
from fairlead.domain.policy.recounting import Recount
from fairlead.domain.runs.past import PastCall, Unmade, moments
from fairlead.domain.runs.rules import WorkflowRules
from fairlead.domain.tallies import PlacesWanted

PAGE = 200
KEPT_RULES = 100
MAX_OPEN_RUNS = 100  # that are followed at once

_OLDEST_FIRST = """
SELECT run_id, started_sequence, workflow_id, workflow_version
  FROM run_board
 WHERE started_sequence > %(after)s AND started_at >= %(since)s
   AND (%(workspaces)s::text[] IS NULL OR workspace_id = ANY (%(workspaces)s))
   AND (%(environment)s::text IS NULL OR environment_id = %(environment)s)
   AND (%(workspace)s::text IS NULL OR workspace_id = %(workspace)s)
   AND (%(workflow)s::text IS NULL OR workflow_name = %(workflow)s)
 ORDER BY started_sequence
 LIMIT %(limit)s
"""
_NEWEST = """
SELECT run_id, started_sequence, workflow_id, workflow_version
  FROM run_board
 WHERE started_at >= %(since)s
   AND (%(workspaces)s::text[] IS NULL OR workspace_id = ANY (%(workspaces)s))
   AND (%(environment)s::text IS NULL OR environment_id = %(environment)s)
   AND (%(workspace)s::text IS NULL OR workspace_id = %(workspace)s)
   AND (%(workflow)s::text IS NULL OR workflow_name = %(workflow)s)
 ORDER BY started_sequence DESC
 LIMIT %(limit)s
"""


class RunFound(Struct, frozen=True, kw_only=True):
    run_id: RunId
    started_sequence: int
    workflow_id: WorkflowId
    workflow_version: int


class Rehearsed(Struct, frozen=True, kw_only=True):
    """A call, and what the version says of it beside the other policies that are in force."""

    run_id: RunId
    past: PastCall
    now: Explanation


class _Following:
    """A run that is gone through. `reviewed` and `would_be`: then, and now, a call was put before people."""

    def __init__(self, run: RunFound, rules: WorkflowRules, left: Iterator[PastCall | Unmade]) -> None:
        self.run = run
        self.rules = rules
        self._left = left
        self.next = next(left, None)
        self.reviewed = self.would_be = False
        self.risk = 0

    def step(self) -> None:
        self.next = next(self._left, None)


class Rehearsal:
    """Counts what rules count from the first run on, as if the version had been in force since then."""

    def __init__(self, parts: ApiParts, tenant_id: TenantId, scope: Scope, layer: Layer) -> None:
        self._parts = parts
        self._tenant_id = tenant_id
        self._scope = scope
        self._layer = layer
        self._rules: OrderedDict[tuple[WorkflowId, int], WorkflowRules] = OrderedDict()
        self._recount = Recount()
        self._sums = Tallying(f"{layer.kind}:{rule.id}" for rule in layer.document.rules)
        self._sees_all = self._in_order = True

    @property
    def calls(self) -> int:
        return self._sums.calls

    def reckoned(self, target_share: float) -> Reckoning:
        exact = self._sees_all and self._in_order and not self._recount.full
        crossing = [] if exact else [rule for rule in self._layer.document.rules if crosses_runs(rule)]
        return self._sums.reckoned(target_share, [f"{self._layer.kind}:{rule.id}" for rule in crossing])

    async def of(self, where: Within, runs: AsyncIterator[RunFound]) -> AsyncIterator[Rehearsed]:
        """Call by call. `runs` come in the order in which they were started."""
        self._sees_all = where.workspaces is None  # each environment is counted for itself
        waiting: list[tuple[int, int, _Following]] = []
        coming = await anext(runs, None)
        while coming is not None or waiting:
            while coming is not None and (not waiting or coming.started_sequence <= waiting[0][0]):
                if len(waiting) >= MAX_OPEN_RUNS:
                    self._in_order = False
                    break
                self._push(waiting, await self._follow(coming))
                coming = await anext(runs, None)
            if not waiting:
                continue
            _, _, following = heapq.heappop(waiting)
            moment = following.next
            if isinstance(moment, Unmade):
                self._recount.give_back(moment.call_id)
            elif moment is not None:
                yield self._judged(following, moment)
            following.step()
            self._push(waiting, following)

    def _push(self, waiting: list[tuple[int, int, _Following]], following: _Following) -> None:
        if following.next is None:
            self._sums.run(following.risk, reviewed=following.reviewed, would_be=following.would_be)
        else:
            heapq.heappush(waiting, (following.next.sequence, following.run.started_sequence, following))

    async def _follow(self, run: RunFound) -> _Following:
        history = await self._parts.log.read(StreamRef(self._tenant_id, "run", run.run_id))
        return _Following(run, await self._rules_of(run), moments(history))

    def _judged(self, following: _Following, past: PastCall) -> Rehearsed:
        judged, found = past.judged, self._explained(following.rules, past)
        self._recount.take(judged.call_id, found.counted_in.values())
        applied = [rule.rule_id for rule in found.rules if rule.standing == "applies"]
        asked = [rule.rule_id for rule in found.rules if rule.standing != "not_about_this_call"]
        self._sums.call(judged.verdict, found.verdict, asked, applied)
        following.reviewed |= judged.verdict == "require_approval"
        following.would_be |= found.verdict == "require_approval"
        following.risk = max(following.risk, found.risk)
        return Rehearsed(run_id=following.run.run_id, past=past, now=found)

    def _explained(self, rules: WorkflowRules, past: PastCall) -> Explanation:
        while True:
            try:
                return rules.explain(past.call, past.run, past.at)
            except PlacesWanted as wanted:
                rules = rules.with_places(self._recount.answers(wanted.wants))

    async def _rules_of(self, run: RunFound) -> WorkflowRules:
        key = (run.workflow_id, run.workflow_version)
        kept = self._rules.get(key)
        if kept is None:
            known = await self._parts.rulebook.published(
                StreamRef(self._tenant_id, "workflow", run.workflow_id), run.workflow_version
            )
            place = known.version.published
            layers = await self._parts.tools.policies.instead(
                self._tenant_id, place.workspace_id, place.name, self._scope, self._layer
            )
            kept = self._rules[key] = known.rules.under(layers)
            while len(self._rules) > KEPT_RULES:
                self._rules.popitem(last=False)
        return kept

    async def runs(self, where: Within, since: Instant) -> AsyncIterator[RunFound]:
        """Page by page, oldest first."""
        after = 0
        while True:
            async with self._parts.database.read(self._tenant_id) as tx:
                params = self._params(where, since) | {"after": after, "limit": PAGE}
                found = await tx.rows(_OLDEST_FIRST, params, RunFound)
            for run in found:
                yield run
            if len(found) < PAGE:
                return
            after = found[-1].started_sequence

    async def newest(self, where: Within, since: Instant, most: int) -> Sequence[RunFound]:
        """At most so many, oldest first."""
        async with self._parts.database.read(self._tenant_id) as tx:
            params = self._params(where, since) | {"limit": most}
            return (await tx.rows(_NEWEST, params, RunFound))[::-1]

    def _params(self, where: Within, since: Instant) -> dict[str, object]:
        return {
            "since": since,
            "workspaces": None if where.workspaces is None else list(where.workspaces),
            "environment": where.environment,
            "workspace": self._scope.workspace_id,
            "workflow": self._scope.workflow,
        }


def crosses_runs(rule: Rule) -> bool:
    """Whether what the rule says depends on more than the call's own run."""
    return any(each is not None and each.within != "run" for each in (rule.after, rule.at_most))
