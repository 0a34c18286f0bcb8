"""Prompts: published as documents, never changed, read with their versions, taken back.

A prompt belongs to a workspace, as the workflows that name it do, and needs the same permissions as they.
"""

import re
from typing import Annotated

from fairlead_tenants.access import Permission, Principal, may
from fairlead_tenants.ids import WorkspaceId
from litestar import Controller, Response, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from fairlead.api import prompt_views as views
from fairlead.api.acting import Act
from fairlead.api.bodies import ApiRequest
from fairlead.api.documents import document_of
from fairlead.api.etags import etag_of, expected_version
from fairlead.api.guards import ALSO, DOCUMENT, check_place, listed_workspaces, requires
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts
from fairlead.api.policies import Because, Reason
from fairlead.api.problems import PreconditionFailed
from fairlead.api.prompt_views import PromptVersionDetail, PromptVersionView, PromptView
from fairlead.api.publishing import IfMatch, IfNoneMatch
from fairlead.api.workflows import InWorkspace, named_workspace
from fairlead.domain import prompts as p
from fairlead.domain.ids import PromptId
from fairlead.domain.policy.difference import Change, difference
from fairlead.domain.tenants.errors import WorkspaceUnknown
from fairlead.domain.tenants.states import Tenant
from fairlead.domain.workflow.document import NAME

LIST = "prompts"
VERSIONS = "prompt_versions"
MAX_VERSION = 2**31 - 1
READS = requires(Permission.WORKFLOW_READ, "prompt_versions")
PUBLISHES = requires(Permission.WORKFLOW_PUBLISH)


class PublishedPrompt(Struct, frozen=True, kw_only=True):
    """The newest version, which is the one before when the document is the same."""

    prompt_id: PromptId
    workspace_id: WorkspaceId
    name: str
    version: int
    document_hash: str


class PromptRollBack(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Reason
    to_version: Annotated[int, Meta(ge=1, le=MAX_VERSION, description="Left out: the one before.")] | None = None


class PromptDifference(Struct, frozen=True, kw_only=True):
    """RFC 6902 operations that lead from version `base` to version `version`."""

    prompt_id: PromptId
    base: int
    version: int
    changes: list[Change]


class PromptController(Controller):
    path = "/v1/prompts"
    tags = ("Prompts",)

    @get("/", opt=READS)
    async def list_prompts(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[PromptView]:
        """Those of workspaces that the principal may see."""
        start = after(cursor, LIST, principal.tenant_id, str) or ""
        workspaces = listed_workspaces(principal, Permission.WORKFLOW_READ)
        async with parts.database.read(principal.tenant_id) as tx:
            found = await views.listed(tx, workspaces, start, limit + 1)
        return page(found, limit, LIST, principal.tenant_id, lambda each: each.prompt_id)

    @get("/{prompt:str}", opt=READS)
    async def get_prompt(
        self,
        prompt: FromPath[str],
        principal: NamedDependency[Principal],
        tenant: NamedDependency[Tenant],
        parts: NamedDependency[ApiParts],
        workspace_id: InWorkspace = None,
    ) -> Response[PromptView]:
        """One prompt. Its ETag is that of its newest version, for `If-Match` when publishing."""
        wanted = _readable(principal, tenant, prompt, workspace_id)
        async with parts.database.read(principal.tenant_id) as tx:
            found = await views.prompt(tx, wanted)
        if found is None:
            raise p.NoSuchPrompt("no such prompt")
        return Response(found, headers={"ETag": etag_of(found.newest_version)})

    @get("/{prompt:str}/versions", opt=READS)
    async def list_prompt_versions(
        self,
        prompt: FromPath[str],
        principal: NamedDependency[Principal],
        tenant: NamedDependency[Tenant],
        parts: NamedDependency[ApiParts],
        workspace_id: InWorkspace = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[PromptVersionView]:
        """Every version ever published, newest first, without the documents."""
        wanted = _readable(principal, tenant, prompt, workspace_id)
        below = after(cursor, VERSIONS, wanted, int) or MAX_VERSION
        async with parts.database.read(principal.tenant_id) as tx:
            found = await views.versions(tx, wanted, below, limit + 1)
        if not found and cursor is None:
            raise p.NoSuchPrompt("no such prompt")
        return page(found, limit, VERSIONS, wanted, lambda each: each.version)

    @get("/{prompt:str}/versions/{version:int}", opt=READS)
    async def get_prompt_version(
        self,
        prompt: FromPath[str],
        version: FromPath[int],
        principal: NamedDependency[Principal],
        tenant: NamedDependency[Tenant],
        parts: NamedDependency[ApiParts],
        workspace_id: InWorkspace = None,
    ) -> Response[PromptVersionDetail]:
        """One version with its document. It never changes."""
        found = await _version(parts, principal, _readable(principal, tenant, prompt, workspace_id), version)
        return Response(found, headers={"ETag": etag_of(version)})

    @get("/{prompt:str}/versions/{version:int}/difference", opt=READS)
    async def get_prompt_difference(
        self,
        prompt: FromPath[str],
        version: FromPath[int],
        principal: NamedDependency[Principal],
        tenant: NamedDependency[Tenant],
        parts: NamedDependency[ApiParts],
        workspace_id: InWorkspace = None,
        base: Annotated[int | None, QueryParameter(ge=0, le=MAX_VERSION, description="Else the one before.")] = None,
    ) -> PromptDifference:
        """What a version changed. Version 0 is the empty document."""
        wanted, before = _readable(principal, tenant, prompt, workspace_id), version - 1 if base is None else base
        new = await _version(parts, principal, wanted, version)
        old = (await _version(parts, principal, wanted, before)).document if before else {}
        return PromptDifference(prompt_id=wanted, base=before, version=version, changes=difference(old, new.document))

    @put("/{prompt:str}", opt=PUBLISHES | {DOCUMENT: {"type": "object"}, ALSO: (201,)})
    async def publish_prompt(
        self,
        request: ApiRequest,
        prompt: FromPath[str],
        act: NamedDependency[Act],
        reason: Because,
        parts: NamedDependency[ApiParts],
        workspace_id: InWorkspace = None,
        if_match: IfMatch = None,
        if_none_match: IfNoneMatch = None,
    ) -> Response[PublishedPrompt]:
        """Publish a version: the body is the document, in JSON or YAML. Workflows use it once they are published anew.

        Publishing the same again adds none.
        """
        workspace = _publishable(act, prompt, workspace_id)
        expected = expected_version(if_match, if_none_match)
        document = await document_of(request)
        p.checked(document, parts.expressions)
        command = p.PublishPrompt(
            workspace_id=workspace, name=prompt, document=document, reason=reason, expected_version=expected
        )
        return await _published(act, command)

    @post("/{prompt:str}/rollback", status_code=200, opt=PUBLISHES | {ALSO: (201,)})
    async def roll_back_prompt(
        self,
        prompt: FromPath[str],
        data: JSONBody[PromptRollBack],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        workspace_id: InWorkspace = None,
    ) -> Response[PublishedPrompt]:
        """Publish the document of an earlier version again, as a version of its own."""
        workspace = _publishable(act, prompt, workspace_id)
        history = p.versions(await parts.log.read(p.prompt_stream(act.tenant_id, workspace, prompt)))
        wanted = data.to_version if data.to_version is not None else len(history) - 1
        if not 1 <= wanted <= len(history):
            raise p.NoSuchPrompt("no such prompt, or no such version of it")
        command = p.PublishPrompt(
            workspace_id=workspace,
            name=prompt,
            document=history[wanted - 1].published.document,
            reason=data.reason,
            expected_version=len(history),
            restores=wanted,
        )
        return await _published(act, command)


async def _published(act: Act, command: p.PublishPrompt) -> Response[PublishedPrompt]:
    stream = p.prompt_stream(act.tenant_id, command.workspace_id, command.name)
    try:
        handled = await act.handle(stream, command)
    except p.PromptVersionMismatch as mismatch:
        raise PreconditionFailed(str(mismatch)) from mismatch
    state: p.Published = handled.state
    made = PublishedPrompt(
        prompt_id=PromptId(stream.id),
        workspace_id=command.workspace_id,
        name=command.name,
        version=state.version,
        document_hash=state.document_hash,
    )
    headers = {"ETag": etag_of(state.version), "Location": f"/v1/prompts/{command.name}/versions/{state.version}"}
    return Response(made, status_code=201 if handled.facts else 200, headers=headers)


def _named(tenant: Tenant, name: str, workspace_id: str | None) -> WorkspaceId | None:
    """Raises NoSuchPrompt for what no prompt can be called."""
    if re.fullmatch(NAME, name) is None:
        raise p.NoSuchPrompt("no prompt can have this name")
    return named_workspace(tenant, workspace_id)


def _publishable(act: Act, name: str, workspace_id: str | None) -> WorkspaceId:
    """Raises NotFound for what the principal cannot even see, Denied for what it can."""
    workspace = _named(act.tenant, name, workspace_id)
    if workspace is None:
        raise WorkspaceUnknown("no such workspace")
    check_place(act.principal, Permission.WORKFLOW_PUBLISH, Permission.WORKFLOW_READ, workspace)
    return workspace


def _readable(principal: Principal, tenant: Tenant, name: str, workspace_id: str | None) -> PromptId:
    workspace = _named(tenant, name, workspace_id)
    if workspace is None or not may(principal, Permission.WORKFLOW_READ, workspace):
        raise p.NoSuchPrompt("no such prompt")
    return p.prompt_id(principal.tenant_id, workspace, name)


async def _version(parts: ApiParts, principal: Principal, wanted: PromptId, version: int) -> PromptVersionDetail:
    async with parts.database.read(principal.tenant_id) as tx:
        found = await views.version(tx, wanted, version) if 1 <= version <= MAX_VERSION else None
    if found is None:
        raise p.NoSuchPrompt("no such version of the prompt")
    return found
