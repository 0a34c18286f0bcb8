"""What a version of a policy would have decided on the runs of the last days, call by call, in constant memory."""

from collections import OrderedDict
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated

import msgspec
from fairlead_tenants.access import Permission, Principal
from fairlead_tenants.ids import TenantId
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.response import Stream
from msgspec import Struct

from fairlead.api.commit_pages import Within
from fairlead.api.guards import FILES, requires
from fairlead.api.parts import ApiParts
from fairlead.api.policies import MAX_VERSION, readable
from fairlead.api.run_access import within
from fairlead.api.workflows import InWorkspace
from fairlead.domain.envelope import StreamRef
from fairlead.domain.ids import RunId, WorkflowId
from fairlead.domain.instant import Instant
from fairlead.domain.policies import Scope
from fairlead.domain.policy.document import Verdict
from fairlead.domain.policy.reckoning import Reckoning, Tallying
from fairlead.domain.runs.past import PastCall, calls
from fairlead.domain.runs.rules import WorkflowRules
from fairlead.domain.tenants.states import Tenant

LINES = "application/x-ndjson"
PAGE = 200
KEPT_RULES = 100
_encode = msgspec.json.Encoder().encode

_RUNS = """
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


class _Run(Struct, frozen=True, kw_only=True):
    run_id: RunId
    started_sequence: int
    workflow_id: WorkflowId
    workflow_version: int


class Said(Struct, frozen=True, kw_only=True):
    verdict: Verdict
    rule_id: str
    risk: int


class SimulatedCall(Struct, frozen=True, kw_only=True, tag_field="line", tag="call"):
    """`then` is on record; `now` is what this version would have said, beside the policies that are in force."""

    run_id: RunId
    call_id: str
    tool: str
    at: Instant
    then: Said
    now: Said
    reason: str
    changed: bool


class SimulationEnd(Struct, frozen=True, kw_only=True, tag_field="line", tag="end"):
    """The last line: without it, something is missing."""

    reckoning: Reckoning


@get(
    "/v1/policies/{policy:str}/versions/{version:int}/simulation",
    opt=requires(Permission.POLICY_READ, "run_board") | {FILES: (LINES,)},
    tags=["Policies"],
)
async def simulate_policy(
    policy: FromPath[str],
    version: FromPath[int],
    principal: NamedDependency[Principal],
    tenant: NamedDependency[Tenant],
    parts: NamedDependency[ApiParts],
    workspace_id: InWorkspace = None,
    days: Annotated[int, QueryParameter(ge=1, le=365, description="Runs that started within so many days.")] = 30,
    only_changes: Annotated[bool, QueryParameter(description="Leave out calls that are decided as they were.")] = False,
    target_share: Annotated[
        float, QueryParameter(ge=0.0, le=1.0, description="Of runs that people are to look at for their risk.")
    ] = 0.05,
) -> Stream:
    """NDJSON, a line for each call of each run that the principal may see, and a last one with the sums: what changes,
    rules that never or always apply, the share of runs that people look at, and the threshold for a target share.

    Rules that count across runs are not counted.
    """
    scope = readable(principal, tenant, policy, workspace_id)
    number = min(version, MAX_VERSION)
    await parts.tools.policies.version(principal.tenant_id, scope, number)
    parts.rulebook.saw(tenant)
    simulation = Simulation(parts, principal.tenant_id, scope, number)
    since = parts.clock.now() - timedelta(days=days)
    where = within(principal, Permission.RUN_READ)
    return Stream(simulation.lines(where, since, target_share, only_changes=only_changes), media_type=LINES)


class Simulation:
    """One version against the past. Keeps one run's history at a time, and sums."""

    def __init__(self, parts: ApiParts, tenant_id: TenantId, scope: Scope, version: int) -> None:
        self._parts = parts
        self._tenant_id = tenant_id
        self._scope = scope
        self._version = version
        self._rules: OrderedDict[tuple[WorkflowId, int], WorkflowRules] = OrderedDict()

    async def lines(
        self, where: Within, since: Instant, target_share: float, *, only_changes: bool
    ) -> AsyncIterator[bytes]:
        layer = await self._parts.tools.policies.layer(self._tenant_id, self._scope, self._version)
        sums = Tallying(f"{layer.kind}:{rule.id}" for rule in layer.document.rules)
        async for run in self._runs(where, since):
            rules = await self._rules_of(run)
            reviewed = would_be = False
            risk = 0
            for past in calls(await self._parts.log.read(StreamRef(self._tenant_id, "run", run.run_id))):
                line = _judged(past, rules, run.run_id, sums)
                reviewed |= line.then.verdict == "require_approval"
                would_be |= line.now.verdict == "require_approval"
                risk = max(risk, line.now.risk)
                if line.changed or not only_changes:
                    yield _encode(line) + b"\n"
            sums.run(risk, reviewed=reviewed, would_be=would_be)
        yield _encode(SimulationEnd(reckoning=sums.reckoned(target_share))) + b"\n"

    async def _runs(self, where: Within, since: Instant) -> AsyncIterator[_Run]:
        """Page by page, oldest first."""
        params = {
            "since": since,
            "workspaces": None if where.workspaces is None else list(where.workspaces),
            "environment": where.environment,
            "workspace": self._scope.workspace_id,
            "workflow": self._scope.workflow,
            "limit": PAGE,
        }
        after = 0
        while True:
            async with self._parts.database.read(self._tenant_id) as tx:
                found = await tx.rows(_RUNS, params | {"after": after}, _Run)
            for run in found:
                yield run
            if len(found) < PAGE:
                return
            after = found[-1].started_sequence

    async def _rules_of(self, run: _Run) -> WorkflowRules:
        key = (run.workflow_id, run.workflow_version)
        kept = self._rules.get(key)
        if kept is None:
            known = await self._parts.rulebook.published(
                StreamRef(self._tenant_id, "workflow", run.workflow_id), run.workflow_version
            )
            place = known.version.published
            layers = await self._parts.tools.policies.instead(
                self._tenant_id, place.workspace_id, place.name, self._scope, self._version
            )
            kept = self._rules[key] = known.rules.under(layers)
            while len(self._rules) > KEPT_RULES:
                self._rules.popitem(last=False)
        return kept


def _judged(past: PastCall, rules: WorkflowRules, run_id: RunId, sums: Tallying) -> SimulatedCall:
    judged = past.judged
    found = rules.explain(past.call, past.run, past.at)
    applied = [rule.rule_id for rule in found.rules if rule.standing == "applies"]
    asked = [rule.rule_id for rule in found.rules if rule.standing != "not_about_this_call"]
    sums.call(judged.verdict, found.verdict, asked, applied)
    return SimulatedCall(
        run_id=run_id,
        call_id=judged.call_id,
        tool=past.call.request.tool,
        at=past.at,
        then=Said(verdict=judged.verdict, rule_id=judged.rule_id, risk=judged.risk),
        now=Said(verdict=found.verdict, rule_id=found.decided_by, risk=found.risk),
        reason=found.reason,
        changed=judged.verdict != found.verdict,
    )
