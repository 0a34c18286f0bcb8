"""Publishing a workflow: the document is checked as a whole, its agent made, and a version added that never changes."""

from typing import Annotated, Any

from fairlead_tenants.access import Permission
from fairlead_tenants.ids import PrincipalId, WorkspaceId
from litestar import Response, put
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter, QueryParameter
from msgspec import Struct

from fairlead.api.acting import Act
from fairlead.api.bodies import ApiRequest
from fairlead.api.documents import document_of
from fairlead.api.etags import etag_of, expected_version
from fairlead.api.guards import ALSO, DOCUMENT, check_place, requires
from fairlead.api.parts import ApiParts
from fairlead.api.problems import PreconditionFailed
from fairlead.api.workflows import InWorkspace, named_workspace
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Invalid, Problem
from fairlead.domain.ids import WorkflowId
from fairlead.domain.prompts import NoSuchPrompt, PinnedPrompt
from fairlead.domain.tenants.commands import CreateAgent
from fairlead.domain.tenants.errors import WorkspaceUnknown
from fairlead.domain.tenants.limits import MAX_REASON
from fairlead.domain.tools import ToolCatalogue
from fairlead.domain.workflow.document import Workflow
from fairlead.domain.workflow.validation import named_tools, validate
from fairlead.domain.workflows import PublishWorkflow, VersionMismatch, workflow_id
from fairlead.handling.prompt_book import PromptBook

PUBLISHES = requires(Permission.WORKFLOW_PUBLISH) | {DOCUMENT: {"type": "object"}, ALSO: (201,)}
IfMatch = Annotated[
    str | None,
    HeaderParameter(name="If-Match", max_length=100, description="ETag of the version that this one follows."),
]
IfNoneMatch = Annotated[
    str | None, HeaderParameter(name="If-None-Match", max_length=100, description="`*`: only if there is none yet.")
]


class PublishedVersion(Struct, frozen=True, kw_only=True):
    """The newest version, which is the one before when the document and its tools are the same."""

    workflow_id: WorkflowId
    workspace_id: WorkspaceId
    name: str
    version: int
    document_hash: str
    agent_principal_id: PrincipalId
    tool_versions: dict[str, str]


@put("/v1/workflows/{workflow:str}", opt=PUBLISHES, tags=["Workflows"])
async def publish_workflow(
    request: ApiRequest,
    workflow: FromPath[str],
    act: NamedDependency[Act],
    parts: NamedDependency[ApiParts],
    reason: Annotated[str, QueryParameter(min_length=1, max_length=MAX_REASON, description="Why; kept for good.")],
    workspace_id: InWorkspace = None,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Response[PublishedVersion]:
    """Publish a version: the body is the document, in JSON or YAML. Publishing the same again adds none.

    The first version makes the agent that the workflow acts as.
    """
    expected = expected_version(if_match, if_none_match)
    workspace = named_workspace(act.tenant, workspace_id)
    if workspace is None:
        raise WorkspaceUnknown("no such workspace")
    check_place(act.principal, Permission.WORKFLOW_PUBLISH, Permission.WORKFLOW_READ, workspace)
    document = await document_of(request)
    catalogue = await parts.tools.catalogue(act.tenant_id, named_tools(document))
    checked = validate(document, catalogue, parts.expressions, act.tenant.tool_cap)
    if checked.name != workflow:
        raise Invalid([Problem(path="/name", message="must be the name in the path", code="name_differs")])
    stream = StreamRef(act.tenant_id, "workflow", workflow_id(act.tenant_id, workspace, workflow))
    command = PublishWorkflow(
        workspace_id=workspace,
        name=workflow,
        document=document,
        reason=reason,
        agent_principal_id=await _agent(act, parts, WorkflowId(stream.id), workspace, workflow),
        tool_versions=_tool_versions(checked, catalogue),
        expected_version=expected,
        unstated_autonomy="propose_only",
        prompt=await _prompt(parts, act, workspace, checked),
    )
    return await _published(act, stream, command)


async def _agent(act: Act, parts: ApiParts, workflow: WorkflowId, workspace_id: WorkspaceId, name: str) -> PrincipalId:
    if (known := act.tenant.agent_of.get(workflow)) is not None:
        return known
    command = CreateAgent(
        by=act.principal,
        now=parts.clock.now(),
        principal_id=PrincipalId(act.new_id("prn")),
        name=name,
        workflow_id=workflow,
        workspace_id=workspace_id,
    )
    agent: PrincipalId = (await act.handle(act.tenant_stream, command, part="agent")).state.agent_of[workflow]
    return agent


def _tool_versions(workflow: Workflow, catalogue: ToolCatalogue) -> dict[str, str]:
    return {name: f"{catalogue[name].version}/{catalogue[name].schema_hash}" for name in workflow.tools}


async def _prompt(parts: ApiParts, act: Act, workspace_id: WorkspaceId, workflow: Workflow) -> PinnedPrompt | None:
    """The version that the document names, or the newest. Raises Invalid."""
    agent = workflow.agent
    if agent is None:
        return None
    try:
        found = await PromptBook(parts.log).version(act.tenant_id, workspace_id, agent.prompt, agent.prompt_version)
    except NoSuchPrompt as missing:
        raise Invalid([Problem(path="/agent/prompt", message=str(missing), code=missing.code)]) from missing
    return found.pinned()


async def _published(act: Act, stream: StreamRef, command: PublishWorkflow) -> Response[PublishedVersion]:
    try:
        handled = await act.handle(stream, command)
    except VersionMismatch as mismatch:
        raise PreconditionFailed(str(mismatch)) from mismatch
    state: Any = handled.state
    made = PublishedVersion(
        workflow_id=WorkflowId(stream.id),
        workspace_id=command.workspace_id,
        name=command.name,
        version=state.version,
        document_hash=state.document_hash,
        agent_principal_id=state.agent_principal_id,
        tool_versions=state.tool_versions,
    )
    place = f"/v1/workflows/{stream.id}/versions/{state.version}"
    headers = {"ETag": etag_of(state.version), "Location": place}
    return Response(made, status_code=201 if handled.facts else 200, headers=headers)
