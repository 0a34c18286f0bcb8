"""Publishing a policy: the document is checked as a whole, a version added, and put in force or on trial."""

from typing import Annotated, Any, Literal

from litestar import Response, put
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from msgspec import Struct

from fairlead.api.acting import Act
from fairlead.api.bodies import ApiRequest
from fairlead.api.documents import document_of
from fairlead.api.etags import etag_of, expected_version
from fairlead.api.guards import ALSO, DOCUMENT
from fairlead.api.parts import ApiParts
from fairlead.api.policies import PUBLISHES, Because, choose, publishable
from fairlead.api.policy_history import RecentHistory, recent_history
from fairlead.api.problems import PreconditionFailed
from fairlead.api.publishing import IfMatch, IfNoneMatch
from fairlead.api.workflows import InWorkspace
from fairlead.domain.errors import Unavailable
from fairlead.domain.ids import PolicyId
from fairlead.domain.instant import Instant
from fairlead.domain.policies import PolicyVersionMismatch, PublishPolicy, Scope, policy_stream
from fairlead.domain.policy.checks import checked, named_tools
from fairlead.domain.tenants.commands import PolicyMove

Mode = Annotated[
    Literal["enforce", "log_only"],
    QueryParameter(description="`log_only`: the version before goes on deciding; this one's verdicts are recorded."),
]


class PublishedPolicy(Struct, frozen=True, kw_only=True):
    """The newest version, which is the one before when the document is the same. `recent`: null where it cannot be
    known now."""

    policy_id: PolicyId
    version: int
    document_hash: str
    enforced_version: int | None
    tried_version: int | None
    since: Instant
    everywhere_within_s: float
    recent: RecentHistory | None = None


@put("/v1/policies/{policy:str}", opt=PUBLISHES | {DOCUMENT: {"type": "object"}, ALSO: (201,)}, tags=["Policies"])
async def publish_policy(
    request: ApiRequest,
    policy: FromPath[str],
    act: NamedDependency[Act],
    parts: NamedDependency[ApiParts],
    reason: Because,
    mode: Mode = "enforce",
    workspace_id: InWorkspace = None,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Response[PublishedPolicy]:
    """Publish a version: the body is the document, in JSON or YAML. It counts for every decision from then on, and for
    every call that was decided before and is made later."""
    expected = expected_version(if_match, if_none_match)
    scope = publishable(act, policy, workspace_id)
    document = await document_of(request)
    tools = await parts.tools.catalogue(act.tenant_id, named_tools(document))
    checked(document, parts.expressions, tools, scope.kind)
    command = PublishPolicy(scope=scope, document=document, reason=reason, expected_version=expected)
    try:
        handled = await act.handle(policy_stream(act.tenant_id, scope), command)
    except PolicyVersionMismatch as mismatch:
        raise PreconditionFailed(str(mismatch)) from mismatch
    state: Any = handled.state
    move: PolicyMove = "enforce" if mode == "enforce" else "try"
    in_force = await choose(act, parts, scope, move, reason, state.version)
    made = PublishedPolicy(
        policy_id=in_force.policy_id,
        version=state.version,
        document_hash=state.document_hash,
        enforced_version=in_force.enforced_version,
        tried_version=in_force.tried_version,
        since=in_force.since,
        everywhere_within_s=in_force.everywhere_within_s,
        recent=await _recent(act, parts, scope, state.version),
    )
    headers = {"ETag": etag_of(state.version), "Location": f"/v1/policies/{policy}/versions/{state.version}"}
    if workspace_id is not None:
        headers["Location"] += f"?workspace_id={workspace_id}"
    return Response(made, status_code=201 if handled.facts else 200, headers=headers)


async def _recent(act: Act, parts: ApiParts, scope: Scope, version: int) -> RecentHistory | None:
    """It is published by now, and stays so whatever becomes of this."""
    try:
        layer = await parts.tools.policies.layer(act.tenant_id, scope, version)
    except Unavailable:
        return None
    return await recent_history(parts, act.principal, scope, layer)
