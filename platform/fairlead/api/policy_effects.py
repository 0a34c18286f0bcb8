"""How soon a policy that was put in force decided everywhere: measured from what was judged since."""

from datetime import datetime
from typing import Annotated, Any

from fairlead_tenants.access import Permission, Principal
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Meta, Struct

from fairlead.api.explanations import gathering
from fairlead.api.guards import requires
from fairlead.api.parts import ApiParts
from fairlead.api.policies import readable
from fairlead.api.run_access import within
from fairlead.api.workflows import InWorkspace
from fairlead.domain.envelope import StreamRef
from fairlead.domain.ids import PolicyId
from fairlead.domain.instant import Instant
from fairlead.domain.policies import NoSuchPolicy, Scope, policy_id
from fairlead.domain.policy.in_force import deciding
from fairlead.domain.runs.events import ToolCallJudged
from fairlead.domain.tenants.events import PolicyChosen
from fairlead.domain.tenants.states import Tenant
from fairlead.handling.evidence import start_of
from fairlead.ports import AnyRecorded

MAX_COMMITS = 2_000
MAX_RUNS = 100

_RUNS = """
SELECT run_id, min(sequence) AS first
  FROM (SELECT c.run_id, c.sequence
          FROM run_commits AS c
          JOIN run_board AS b ON b.tenant_id = c.tenant_id AND b.run_id = c.run_id
         WHERE c.at >= %(since)s
           AND (%(workspaces)s::text[] IS NULL OR b.workspace_id = ANY (%(workspaces)s))
           AND (%(environment)s::text IS NULL OR b.environment_id = %(environment)s)
           AND (%(workspace)s::text IS NULL OR b.workspace_id = %(workspace)s)
           AND (%(workflow)s::text IS NULL OR b.workflow_name = %(workflow)s)
         ORDER BY c.at, c.sequence
         LIMIT %(commits)s) AS soonest
 GROUP BY run_id
 ORDER BY first
 LIMIT %(runs)s
"""


class PolicyEffect(Struct, frozen=True, kw_only=True):
    """Of the last time that the tenant chose versions of the policy: the calls that were judged soonest after it, of
    those that the principal may see, by the clocks of the processes that judged."""

    policy_id: PolicyId
    enforced_version: int | None
    tried_version: int | None
    since: Instant
    judged_under_it: int
    first_after_ms: Annotated[float | None, Meta(description="To the first call that was judged under it.")]
    judged_otherwise: int
    last_otherwise_after_ms: Annotated[
        float, Meta(description="To the last call that was still judged as before; from then on it counted everywhere.")
    ]


class _Run(Struct, frozen=True, kw_only=True):
    run_id: str
    first: int


class _Chosen(Struct, frozen=True):
    event: PolicyChosen
    at: datetime
    sequence: int


@get("/v1/policies/{policy:str}/effect", opt=requires(Permission.POLICY_READ, "run_board"), tags=["Policies"])
async def get_policy_effect(
    policy: FromPath[str],
    principal: NamedDependency[Principal],
    tenant: NamedDependency[Tenant],
    parts: NamedDependency[ApiParts],
    workspace_id: InWorkspace = None,
) -> PolicyEffect:
    """How long it took from putting a version in force, trying it or lifting the policy until every process went by
    it. Read from the first 2,000 commits of runs since then, of 100 runs at most."""
    scope = readable(principal, tenant, policy, workspace_id)
    found = policy_id(principal.tenant_id, scope)
    chosen = _last_choice(await parts.log.read(StreamRef(principal.tenant_id, "tenant", principal.tenant_id)), found)
    if chosen is None:
        raise NoSuchPolicy("no such policy")
    params = within(principal, Permission.RUN_READ).as_params() | _place(scope, chosen.at)
    async with parts.database.read(principal.tenant_id) as tx:
        runs = await tx.rows(_RUNS, params, _Run)
    under: list[float] = []
    otherwise: list[float] = []
    for run in runs:
        history = await parts.log.read(StreamRef(principal.tenant_id, "run", run.run_id))
        for is_under, after_ms in await _judged(parts, principal, history, chosen):
            (under if is_under else otherwise).append(after_ms)
    return PolicyEffect(
        policy_id=found,
        enforced_version=chosen.event.enforced,
        tried_version=chosen.event.tried,
        since=chosen.at,
        judged_under_it=len(under),
        first_after_ms=min(under, default=None),
        judged_otherwise=len(otherwise),
        last_otherwise_after_ms=max(otherwise, default=0.0),
    )


def _place(scope: Scope, since: datetime) -> dict[str, Any]:
    return {
        "since": since,
        "workspace": scope.workspace_id,
        "workflow": scope.workflow,
        "commits": MAX_COMMITS,
        "runs": MAX_RUNS,
    }


def _last_choice(tenant: list[AnyRecorded], wanted: PolicyId) -> _Chosen | None:
    for recorded in reversed(tenant):
        for event in reversed(recorded.commit.events):
            if isinstance(event, PolicyChosen) and event.policy_id == wanted:
                return _Chosen(event, recorded.commit.at, recorded.sequence)
    return None


async def _judged(
    parts: ApiParts, principal: Principal, history: list[AnyRecorded], chosen: _Chosen
) -> list[tuple[bool, float]]:
    """Of each judgement since: whether it went by what the tenant had said by then, and how long after."""
    late = [each for each in history if each.sequence > chosen.sequence]
    if not late:
        return []
    governance = gathering(parts).governance
    in_force = await governance.through(principal.tenant_id, start_of(history), chosen.sequence, late[-1].sequence)
    found: list[tuple[bool, float]] = []
    for recorded in late:
        expected = deciding(in_force, recorded.sequence, frozenset())
        for event in recorded.commit.events:
            if isinstance(event, ToolCallJudged) and expected is not None:
                after_ms = max(0.0, (recorded.commit.at - chosen.at).total_seconds() * 1e3)
                found.append((event.policy_version == expected.version, round(after_ms, 1)))
    return found
