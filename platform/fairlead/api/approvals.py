"""Approvals: the queue, and what there is to look at."""

from datetime import datetime
from typing import Annotated

from fairlead_tenants.access import Permission, Principal, may
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from fairlead.api.approval_reviewing import NoSuchApproval
from fairlead.api.approval_views import (
    ApprovalDetail,
    ApprovalStatus,
    ApprovalSummary,
    Wanted,
    approval_of,
    approvals_page,
    masked_view,
)
from fairlead.api.commit_pages import LAST
from fairlead.api.guards import requires
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts, Sight
from fairlead.api.run_access import within
from fairlead.api.runs import aware
from fairlead.domain.errors import Denied
from fairlead.domain.ids import RunId

LIST = "approvals"
MAX_AT_ONCE = 50


class ApprovalController(Controller):
    path = "/v1/approvals"
    tags = ("Approvals",)

    @get("/", opt=requires(Permission.APPROVAL_READ, "approvals", "run_board"))
    async def list_approvals(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
        status: Annotated[ApprovalStatus | None, QueryParameter(name="status")] = None,
        workspace: Annotated[str | None, QueryParameter(name="workspace_id", max_length=64)] = None,
        run: Annotated[str | None, QueryParameter(name="run_id", max_length=64)] = None,
        workflow: Annotated[str | None, QueryParameter(name="workflow", max_length=200)] = None,
        tool: Annotated[str | None, QueryParameter(name="tool", max_length=200)] = None,
        role: Annotated[str | None, QueryParameter(name="role", max_length=32, description="May answer it.")] = None,
        older_than: Annotated[
            datetime | None, QueryParameter(name="requested_before", description="Exclusive.")
        ] = None,
        mine: Annotated[bool, QueryParameter(name="mine", description="Those that you have claimed.")] = False,
    ) -> Page[ApprovalSummary]:
        """Approvals that the principal may see, newest first. Each one alone also has its evidence."""
        wanted = Wanted(
            within=within(principal, Permission.APPROVAL_READ).narrowed(workspace),
            below=after(cursor, LIST, principal.tenant_id, int) or LAST,
            limit=limit + 1,
            now=parts.clock.now(),
            status=status,
            run_id=RunId(run) if run else None,
            workflow=workflow,
            tool=tool,
            role=role,
            before=aware(older_than, "requested_before") if older_than else None,
            claimed_by=principal.principal_id if mine else None,
        )
        async with parts.database.read(principal.tenant_id) as tx:
            found = await approvals_page(tx, wanted)
        placed = page(found, limit, LIST, principal.tenant_id, lambda each: each[0])
        return Page([approval for _, approval in placed.items], placed.next_cursor)

    @get("/{approval_id:str}", opt=requires(Permission.APPROVAL_READ, "approvals", "run_board"))
    async def get_approval(
        self, approval_id: FromPath[str], principal: NamedDependency[Principal], parts: NamedDependency[ApiParts]
    ) -> ApprovalDetail:
        """What would be done, on what evidence, and who has answered. Sensitive values are masked."""
        return masked_view(await _seen(parts.masked, principal, approval_id))

    @get("/{approval_id:str}/unmasked", opt=requires(Permission.APPROVAL_UNMASK, "approvals", "run_board"))
    async def get_unmasked_approval(
        self, approval_id: FromPath[str], principal: NamedDependency[Principal], parts: NamedDependency[ApiParts]
    ) -> ApprovalDetail:
        """The same with the sensitive values. It is on record who has seen them."""
        found = await _seen(parts.unmasked, principal, approval_id)
        if not may(principal, Permission.APPROVAL_UNMASK, found.workspace_id, found.environment_id):
            raise Denied(Permission.APPROVAL_UNMASK)
        return found


async def _seen(sight: Sight, principal: Principal, approval_id: str) -> ApprovalDetail:
    """Raises NoSuchApproval."""
    async with sight.database.read(principal.tenant_id) as tx:
        found = await approval_of(tx, approval_id)
    if found is None or not may(principal, Permission.APPROVAL_READ, found.workspace_id, found.environment_id):
        raise NoSuchApproval("no such approval")
    return found
