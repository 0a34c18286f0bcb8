"""Reports of money: what calls have cost, what a success costs, and what is left of what it brings in."""

from datetime import datetime, timedelta
from typing import Annotated

from fairlead_tenants.access import Permission, Principal, may
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.response import Stream

from fairlead.api import cost_rows as c
from fairlead.api import success_rows as s
from fairlead.api.cost_rows import By, Cost, CostSpan
from fairlead.api.guards import FILES, requires
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts
from fairlead.api.report_files import MEDIA_TYPES, Form, report_file
from fairlead.api.run_access import reader, within
from fairlead.api.runs import aware
from fairlead.api.success_rows import EndedSpan, Margin, SuccessCost
from fairlead.domain.errors import Denied, Invalid, Problem

COSTS, SUCCESSES, MARGINS = "costs", "success-costs", "margins"
WEEK = timedelta(days=7)
AT_MOST = timedelta(days=366)
READS_COSTS = requires(Permission.COST_READ, "run_board", "model_usage")
READS_SUCCESSES = requires(Permission.COST_READ, "run_board", "model_usage", "cases")
READS_MARGINS = requires(Permission.PRICE_READ, "run_board", "model_usage", "cases")
EXPORTS = requires(Permission.EXPORT_READ, "run_board", "model_usage", "cases") | {FILES: tuple(MEDIA_TYPES.values())}

From = Annotated[datetime | None, QueryParameter(name="from", description="Without, seven days before the end.")]
To = Annotated[datetime | None, QueryParameter(name="to", description="Exclusive; now without.")]
OfWorkflow = Annotated[str | None, QueryParameter(name="workflow", max_length=200, description="Its name.")]
OfRun = Annotated[str | None, QueryParameter(name="run_id", max_length=64)]
InWorkspace = Annotated[str | None, QueryParameter(name="workspace_id", max_length=64)]
AddedBy = Annotated[By, QueryParameter(name="by", description="What costs are added up by.")]
AsForm = Annotated[Form, QueryParameter(name="format")]


class CostReportController(Controller):
    path = "/v1/reports"
    tags = ("Reports",)

    @get("/costs", opt=READS_COSTS)
    async def report_costs(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        by: AddedBy = "workflow",
        from_at: From = None,
        to_at: To = None,
        workflow: OfWorkflow = None,
        run_id: OfRun = None,
        workspace: InWorkspace = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[Cost]:
        """What calls of models and tools have cost in a span, by the time of each charge. Days are those of budgets."""
        span = await _costs(principal, parts, Permission.COST_READ, by, from_at, to_at, workflow, run_id, workspace)
        last = after(cursor, f"{COSTS}-{by}", principal.tenant_id, str)
        async with parts.database.read(principal.tenant_id) as tx:
            found = await c.costs(tx, span, last, limit + 1)
        return page(found, limit, f"{COSTS}-{by}", principal.tenant_id, lambda row: row.key)

    @get("/costs/export", opt=EXPORTS)
    async def export_costs(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        by: AddedBy = "workflow",
        from_at: From = None,
        to_at: To = None,
        workflow: OfWorkflow = None,
        run_id: OfRun = None,
        workspace: InWorkspace = None,
        form: AsForm = "ndjson",
    ) -> Stream:
        """The same, all of it, as a file."""
        span = await _costs(principal, parts, Permission.EXPORT_READ, by, from_at, to_at, workflow, run_id, workspace)
        return report_file(c.pages(reader(parts, principal.tenant_id), span), Cost, COSTS, form)

    @get("/success-costs", opt=READS_SUCCESSES)
    async def report_success_costs(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        from_at: From = None,
        to_at: To = None,
        workflow: OfWorkflow = None,
        workspace: InWorkspace = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[SuccessCost]:
        """What a success of each workflow costs, with all that was spent on runs that failed and on people's reviews,
        against the span before. Over a fifth more is a regression."""
        span = await _ended(principal, parts, Permission.COST_READ, from_at, to_at, workflow, workspace)
        last = after(cursor, SUCCESSES, principal.tenant_id, str)
        async with parts.database.read(principal.tenant_id) as tx:
            found = await s.success_costs(tx, span, (last or "", ""), limit + 1)
        return page(found, limit, SUCCESSES, principal.tenant_id, lambda row: row.workflow_id)

    @get("/success-costs/export", opt=EXPORTS)
    async def export_success_costs(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        from_at: From = None,
        to_at: To = None,
        workflow: OfWorkflow = None,
        workspace: InWorkspace = None,
        form: AsForm = "ndjson",
    ) -> Stream:
        """The same, all of it, as a file."""
        span = await _ended(principal, parts, Permission.EXPORT_READ, from_at, to_at, workflow, workspace)
        return report_file(s.success_pages(reader(parts, principal.tenant_id), span), SuccessCost, SUCCESSES, form)

    @get("/margins", opt=READS_MARGINS)
    async def report_margins(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        from_at: From = None,
        to_at: To = None,
        workflow: OfWorkflow = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[Margin]:
        """What each workflow and account has brought in by the tenant's price of an outcome, and what is left of it."""
        _check_prices(principal)
        span = await _ended(principal, parts, Permission.PRICE_READ, from_at, to_at, workflow, None)
        last = (after(cursor, MARGINS, principal.tenant_id, str) or "").partition("/")
        async with parts.database.read(principal.tenant_id) as tx:
            found = await s.margins(tx, span, (last[0], last[2]), limit + 1)
        return page(found, limit, MARGINS, principal.tenant_id, lambda row: f"{row.workflow_id}/{row.account}")

    @get("/margins/export", opt=EXPORTS)
    async def export_margins(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        from_at: From = None,
        to_at: To = None,
        workflow: OfWorkflow = None,
        form: AsForm = "ndjson",
    ) -> Stream:
        """The same, all of it, as a file. Needs `price:read` as well."""
        _check_prices(principal)
        span = await _ended(principal, parts, Permission.EXPORT_READ, from_at, to_at, workflow, None)
        return report_file(s.margin_pages(reader(parts, principal.tenant_id), span), Margin, MARGINS, form)


async def _costs(
    principal: Principal,
    parts: ApiParts,
    permission: Permission,
    by: By,
    from_at: datetime | None,
    to_at: datetime | None,
    workflow: str | None,
    run_id: str | None,
    workspace: str | None,
) -> CostSpan:
    """Raises Invalid."""
    begin, end = _between(parts, from_at, to_at)
    return CostSpan(
        within=within(principal, permission).narrowed(workspace),
        begin=begin,
        end=end,
        by=by,
        zone=(await parts.budgets.book(principal.tenant_id)).zone if by == "day" else "UTC",
        workflow=workflow,
        run_id=run_id,
    )


async def _ended(
    principal: Principal,
    parts: ApiParts,
    permission: Permission,
    from_at: datetime | None,
    to_at: datetime | None,
    workflow: str | None,
    workspace: str | None,
) -> EndedSpan:
    """Raises Invalid."""
    begin, end = _between(parts, from_at, to_at)
    return EndedSpan(
        within=within(principal, permission).narrowed(workspace),
        begin=begin,
        end=end,
        prices=(await parts.prices.own(principal.tenant_id)).list,
        workflow=workflow,
    )


def _between(parts: ApiParts, from_at: datetime | None, to_at: datetime | None) -> tuple[datetime, datetime]:
    end = parts.clock.now() if to_at is None else aware(to_at, "to")
    begin = end - WEEK if from_at is None else aware(from_at, "from")
    if not begin < end <= begin + AT_MOST:
        message = f"must be before the end, and at most {AT_MOST.days} days"
        raise Invalid([Problem(path="/from", message=message, code="out_of_bounds")])
    return begin, end


def _check_prices(principal: Principal) -> None:
    """Prices are about the whole tenant: a grant for a part of it is not enough."""
    if not may(principal, Permission.PRICE_READ):
        raise Denied(Permission.PRICE_READ)
