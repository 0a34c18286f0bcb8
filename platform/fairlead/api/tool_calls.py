"""Calls of tools: of a run, and one."""

from fairlead_tenants.access import Permission, Principal, may
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from fairlead.api.guards import requires
from fairlead.api.looking import Looking
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts
from fairlead.api.run_access import RunPlace, find_place
from fairlead.api.tool_call_views import ToolCall, call_of, calls_of_run
from fairlead.domain.errors import NotFound


class NoSuchCall(NotFound):
    """No call of that id in this tenant."""

    code = "tool_call_not_found"


@get("/v1/runs/{run_id:str}/tool-calls", opt=requires(Permission.RUN_READ, "run_board"), tags=["Tool calls"])
async def list_tool_calls(
    run_id: FromPath[str],
    principal: NamedDependency[Principal],
    parts: NamedDependency[ApiParts],
    looking: NamedDependency[Looking],
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[ToolCall]:
    """A run's calls, in the order in which they were requested."""
    looking.check(await find_place(parts, principal, run_id, Permission.RUN_READ))
    name = f"tool_calls/{run_id}"
    last = after(cursor, name, principal.tenant_id, str) or ""
    async with looking.sight.database.read(principal.tenant_id) as tx:
        found = await calls_of_run(tx, run_id, last, limit + 1)
    return page(found, limit, name, principal.tenant_id, lambda call: call.call_id)


@get("/v1/tool-calls/{call_id:str}", opt=requires(Permission.RUN_READ, "run_board"), tags=["Tool calls"])
async def get_tool_call(
    call_id: FromPath[str], principal: NamedDependency[Principal], looking: NamedDependency[Looking]
) -> ToolCall:
    """One call: what was asked, what was decided about it, and what came of it."""
    async with looking.sight.database.read(principal.tenant_id) as tx:
        found = await call_of(tx, call_id)
    if found is None or not may(principal, Permission.RUN_READ, found.workspace_id, found.environment_id):
        raise NoSuchCall("no such call")
    looking.check(RunPlace(found.workspace_id, found.environment_id))
    return found.call
