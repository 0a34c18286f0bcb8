"""Reports: how often people look at what workflows do, decide otherwise, and how often it is undone."""

from datetime import datetime, timedelta
from typing import Annotated

from fairlead_tenants.access import Permission, Principal
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.response import Stream

from fairlead.api.guards import FILES, requires
from fairlead.api.oversight_rows import START, Oversight, Place, Span, counted, pages
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts
from fairlead.api.report_files import MEDIA_TYPES, Form, report_file
from fairlead.api.run_access import reader, within
from fairlead.api.runs import aware
from fairlead.domain.errors import Invalid, Problem

LIST = "oversight"
USUALLY = timedelta(days=30)
AT_MOST = timedelta(days=366)

From = Annotated[
    datetime | None,
    QueryParameter(name="from", description="By the start of runs; without, 30 days before the end."),
]
To = Annotated[datetime | None, QueryParameter(name="to", description="Exclusive; now without.")]
OfWorkflow = Annotated[str | None, QueryParameter(name="workflow", max_length=200, description="Its name.")]
InWorkspace = Annotated[str | None, QueryParameter(name="workspace_id", max_length=64)]


class ReportController(Controller):
    path = "/v1/reports"
    tags = ("Reports",)

    @get("/oversight", opt=requires(Permission.APPROVAL_READ, "run_board", "approvals"))
    async def report_oversight(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        from_at: From = None,
        to_at: To = None,
        workflow: OfWorkflow = None,
        workspace: InWorkspace = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[Oversight]:
        """For each version of each workflow: the share of its runs that people looked at, how often they decided
        otherwise and how long that took, and how often what a run did was undone."""
        span = _span(principal, parts, from_at, to_at, workflow, workspace)
        last = after(cursor, LIST, principal.tenant_id, str)
        async with parts.database.read(principal.tenant_id) as tx:
            found = await counted(tx, span, START if last is None else _place(last), limit + 1)
        return page(found, limit, LIST, principal.tenant_id, lambda row: f"{row.workflow_id}/{row.workflow_version}")

    @get(
        "/oversight/export",
        opt=requires(Permission.EXPORT_READ, "run_board", "approvals") | {FILES: tuple(MEDIA_TYPES.values())},
    )
    async def export_oversight(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        from_at: From = None,
        to_at: To = None,
        workflow: OfWorkflow = None,
        workspace: InWorkspace = None,
        form: Annotated[Form, QueryParameter(name="format")] = "ndjson",
    ) -> Stream:
        """The same, all of it, as a file."""
        span = _span(principal, parts, from_at, to_at, workflow, workspace, Permission.EXPORT_READ)
        return report_file(pages(reader(parts, principal.tenant_id), span), Oversight, "oversight", form)


def _span(
    principal: Principal,
    parts: ApiParts,
    from_at: datetime | None,
    to_at: datetime | None,
    workflow: str | None,
    workspace: str | None,
    permission: Permission = Permission.APPROVAL_READ,
) -> Span:
    """Raises Invalid."""
    end = parts.clock.now() if to_at is None else aware(to_at, "to")
    begin = end - USUALLY if from_at is None else aware(from_at, "from")
    if not begin < end <= begin + AT_MOST:
        message = f"must be before the end, and at most {AT_MOST.days} days"
        raise Invalid([Problem(path="/from", message=message, code="out_of_bounds")])
    return Span(within=within(principal, permission).narrowed(workspace), begin=begin, end=end, workflow=workflow)


def _place(cursor: str) -> Place:
    """Raises Invalid: a cursor is ours, but anybody can write one."""
    workflow_id, _, version = cursor.rpartition("/")
    if not version.isdecimal() or len(version) > 9:
        raise Invalid([Problem(path="/cursor", message="is not a cursor of this list", code="cursor_invalid")])
    return workflow_id, int(version)
