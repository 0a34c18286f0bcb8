"""A workflow's history: versions that never change, and whether runs may be started.

The stream's id follows from workspace and name, so a name is one history and needs no look-up.
"""

import base64
import hashlib
from collections.abc import Iterable
from typing import Any

from fairlead_tenants.ids import PrincipalId, TenantId, WorkspaceId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.envelope import Actor, Event, Recorded
from fairlead.domain.errors import NotFound, Rejected
from fairlead.domain.ids import WorkflowId
from fairlead.domain.instant import Instant
from fairlead.domain.policy.document import Autonomy
from fairlead.domain.prompts import PinnedPrompt
from fairlead.domain.tenants import limits
from fairlead.domain.workflow.plain import document_hash

ID_CHARS = 26


def workflow_id(tenant_id: TenantId, workspace_id: WorkspaceId, name: str) -> WorkflowId:
    """`wfl_` and 130 bits of a hash: the same name in another workspace is another workflow."""
    digest = hashlib.sha256(f"{tenant_id}/{workspace_id}/{name}".encode()).digest()
    return WorkflowId("wfl_" + base64.b32encode(digest).decode()[:ID_CHARS].lower())


class WorkflowPublished(Event, frozen=True, kw_only=True, tag="workflow.published.v1", omit_defaults=True):
    """`document` is the plain data that was validated, `tool_versions` the `version/schema_hash` of its tools then.

    `prompt` is the version that its agent's name stood for, where a model plans. `unstated_autonomy` is the level where
    neither the document nor a policy states one: versions from before there were levels act within policy.
    """

    workspace_id: WorkspaceId
    name: str
    version: int
    document: dict[str, Any]
    document_hash: str
    reason: str
    agent_principal_id: PrincipalId
    tool_versions: dict[str, str]
    unstated_autonomy: Autonomy = "act_within_policy"
    prompt: PinnedPrompt | None = None


class WorkflowArchived(Event, frozen=True, kw_only=True, tag="workflow.archived.v1"):
    """No new runs and no new versions; runs under way go on."""

    reason: str


class WorkflowRestored(Event, frozen=True, kw_only=True, tag="workflow.restored.v1"):
    """Runs and versions are taken again; versions count on from where they stood."""

    reason: str


WorkflowEvent = WorkflowPublished | WorkflowArchived | WorkflowRestored


class PublishWorkflow(Struct, frozen=True, kw_only=True):
    """`document` has passed `validate`. `expected_version` is the version the author saw, 0 for none, None for any."""

    workspace_id: WorkspaceId
    name: str
    document: dict[str, Any]
    reason: str
    agent_principal_id: PrincipalId
    tool_versions: dict[str, str]
    expected_version: int | None = None
    unstated_autonomy: Autonomy = "act_within_policy"
    prompt: PinnedPrompt | None = None


class ArchiveWorkflow(Struct, frozen=True, kw_only=True):
    reason: str


class RestoreWorkflow(Struct, frozen=True, kw_only=True):
    reason: str


WorkflowCommand = PublishWorkflow | ArchiveWorkflow | RestoreWorkflow


class Unpublished(Struct, frozen=True):
    pass


class Published(Struct, frozen=True, kw_only=True):
    """What the next decision needs of the past: the newest version, and whether the workflow is out of use."""

    version: int
    document_hash: str
    tool_versions: dict[str, str]
    agent_principal_id: PrincipalId
    archived: bool = False
    prompt: PinnedPrompt | None = None


WorkflowState = Unpublished | Published


class VersionMismatch(Rejected):
    """Somebody published since: look at the newest version and decide again."""

    code = "workflow_version_mismatch"

    def __init__(self, expected: int, actual: int) -> None:
        super().__init__(f"the newest version is {actual}, not {expected}")
        self.expected = expected
        self.actual = actual


class WorkflowIsArchived(Rejected):
    """Restore the workflow first."""

    code = "workflow_archived"


def initial() -> WorkflowState:
    return Unpublished()


def decide(command: WorkflowCommand, state: WorkflowState) -> list[WorkflowEvent]:
    """Say what happens. Raises Invalid, VersionMismatch, WorkflowIsArchived, NotFound."""
    limits.check(limits.text("/reason", command.reason, limits.MAX_REASON))
    match command, state:
        case PublishWorkflow() as publish, _:
            return _publish(publish, state)
        case _, Unpublished():
            raise NotFound("no such workflow")
        case ArchiveWorkflow(reason=reason), Published(archived=False):
            return [WorkflowArchived(reason=reason)]
        case RestoreWorkflow(reason=reason), Published(archived=True):
            return [WorkflowRestored(reason=reason)]
    return []  # asking twice is not an error


def _publish(publish: PublishWorkflow, state: WorkflowState) -> list[WorkflowEvent]:
    newest = state.version if isinstance(state, Published) else 0
    if publish.expected_version not in (None, newest):
        raise VersionMismatch(publish.expected_version, newest)
    if isinstance(state, Published) and state.archived:
        raise WorkflowIsArchived("the workflow is archived")
    digest = document_hash(publish.document)
    if isinstance(state, Published) and _same(publish, digest, state):
        return []
    return [
        WorkflowPublished(
            workspace_id=publish.workspace_id,
            name=publish.name,
            version=newest + 1,
            document=publish.document,
            document_hash=digest,
            reason=publish.reason,
            agent_principal_id=publish.agent_principal_id,
            tool_versions=publish.tool_versions,
            unstated_autonomy=publish.unstated_autonomy,
            prompt=publish.prompt,
        )
    ]


def _same(publish: PublishWorkflow, digest: str, state: Published) -> bool:
    """The same document on other tool versions, or with another prompt, is a new version: it means something else."""
    return (digest, publish.tool_versions, publish.agent_principal_id, publish.prompt) == (
        state.document_hash,
        state.tool_versions,
        state.agent_principal_id,
        state.prompt,
    )


def evolve(state: WorkflowState, event: WorkflowEvent) -> WorkflowState:
    match event:
        case WorkflowPublished():
            return Published(
                version=event.version,
                document_hash=event.document_hash,
                tool_versions=event.tool_versions,
                agent_principal_id=event.agent_principal_id,
                prompt=event.prompt,
            )
        case WorkflowArchived() | WorkflowRestored():
            assert isinstance(state, Published), "only what was published is archived or restored"
            return replace(state, archived=isinstance(event, WorkflowArchived))


class Version(Struct, frozen=True, kw_only=True):
    """One line of a workflow's history."""

    published: WorkflowPublished
    author: Actor
    at: Instant


def versions(history: Iterable[Recorded[WorkflowEvent]]) -> list[Version]:
    """Every version ever published, oldest first. `history` is the whole stream."""
    return [
        Version(published=event, author=recorded.commit.actor, at=recorded.commit.at)
        for recorded in history
        for event in recorded.commit.events
        if isinstance(event, WorkflowPublished)
    ]
