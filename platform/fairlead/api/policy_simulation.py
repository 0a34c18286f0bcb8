"""What a version of a policy would have decided on the runs of the last days, call by call, in constant memory."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated

import msgspec
from fairlead_tenants.access import Permission, Principal
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.response import Stream
from msgspec import Struct

from fairlead.api.commit_pages import Within
from fairlead.api.guards import FILES, requires
from fairlead.api.parts import ApiParts
from fairlead.api.policies import MAX_VERSION, readable
from fairlead.api.policy_rehearsal import Rehearsal, Rehearsed
from fairlead.api.run_access import within
from fairlead.api.workflows import InWorkspace
from fairlead.domain.ids import RunId
from fairlead.domain.instant import Instant
from fairlead.domain.policy.document import Verdict
from fairlead.domain.policy.reckoning import Reckoning
from fairlead.domain.tenants.states import Tenant

LINES = "application/x-ndjson"
_encode = msgspec.json.Encoder().encode


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

    Calls come in the order in which they were judged, and rules that count do so from the first of them on; those that
    could not be counted exactly are named in the sums.
    """
    scope = readable(principal, tenant, policy, workspace_id)
    layer = await parts.tools.policies.layer(principal.tenant_id, scope, min(version, MAX_VERSION))
    parts.rulebook.saw(tenant)
    rehearsal = Rehearsal(parts, principal.tenant_id, scope, layer)
    since = parts.clock.now() - timedelta(days=days)
    where = within(principal, Permission.RUN_READ)
    return Stream(_lines(rehearsal, where, since, target_share, only_changes=only_changes), media_type=LINES)


async def _lines(
    rehearsal: Rehearsal, where: Within, since: Instant, target_share: float, *, only_changes: bool
) -> AsyncIterator[bytes]:
    async for found in rehearsal.of(where, rehearsal.runs(where, since)):
        line = _line(found)
        if line.changed or not only_changes:
            yield _encode(line) + b"\n"
    yield _encode(SimulationEnd(reckoning=rehearsal.reckoned(target_share))) + b"\n"


def _line(found: Rehearsed) -> SimulatedCall:
    past, now = found.past, found.now
    judged = past.judged
    return SimulatedCall(
        run_id=found.run_id,
        call_id=judged.call_id,
        tool=past.call.request.tool,
        at=past.at,
        then=Said(verdict=judged.verdict, rule_id=judged.rule_id, risk=judged.risk),
        now=Said(verdict=now.verdict, rule_id=now.decided_by, risk=now.risk),
        reason=now.reason,
        changed=judged.verdict != now.verdict,
    )
