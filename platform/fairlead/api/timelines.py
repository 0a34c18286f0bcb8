"""A run's timeline, and the run as it was at any of its events."""

from typing import Annotated

from fairlead_tenants.access import Permission, Principal
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from fairlead.api.commit_pages import LAST, OF_RUN, Read, pages
from fairlead.api.guards import requires
from fairlead.api.looking import Looking
from fairlead.api.opened_commits import Show
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts
from fairlead.api.run_access import find_place, load_run, place_of_run, reader
from fairlead.api.run_states import RunStateAt, state_as_of
from fairlead.api.timeline_events import START, Place, TimelineEvent, events_of, place_of
from fairlead.domain.runs.errors import NoSuchRun

MAX_PAGE_BYTES = 4 * 1024 * 1024  # a page is at least one event, however large


class TimelineController(Controller):
    path = "/v1/runs/{run_id:str}"
    tags = ("Runs",)

    @get("/timeline", opt=requires(Permission.RUN_READ, "run_board", "run_commits"))
    async def get_timeline(
        self,
        run_id: FromPath[str],
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        looking: NamedDependency[Looking],
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
        event_type: Annotated[
            str, QueryParameter(name="type", max_length=100, description="Only types that begin so, like `tool_call.`.")
        ] = "",
    ) -> Page[TimelineEvent]:
        """Every event of the run and of its approvals, in the order in which they were recorded."""
        looking.check(await find_place(parts, principal, run_id, Permission.RUN_READ))
        name = f"timeline/{run_id}"
        last = after(cursor, name, principal.tenant_id, str)
        start = START if last is None else place_of(last, "cursor")
        found = await _events(reader(parts, principal.tenant_id), looking.show, run_id, start, event_type, limit + 1)
        kept = min(limit, fitting(found))
        return page(found[: kept + 1], kept, name, principal.tenant_id, lambda event: event.position)

    @get("/state", opt=requires(Permission.RUN_READ))
    async def get_state(
        self,
        run_id: FromPath[str],
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        looking: NamedDependency[Looking],
        at: Annotated[
            int | None, QueryParameter(name="at", ge=1, description="A version of the run; the newest without.")
        ] = None,
    ) -> RunStateAt:
        """The run as it was after its event number `at`: folded from the log, which never forgets."""
        run = await load_run(parts, principal, run_id, Permission.RUN_READ)
        looking.check(place_of_run(run.run))
        found = state_as_of(await looking.sight.log.read(run.stream), at)
        if found is None:
            raise NoSuchRun("no such run")
        return found


async def _events(read: Read, show: Show, run_id: str, start: Place, prefix: str, limit: int) -> list[TimelineEvent]:
    found: list[TimelineEvent] = []
    async for rows in pages(read, OF_RUN, {"run_id": run_id, "to_sequence": LAST}, start.sequence, show):
        for row in rows:
            found += (event for event in events_of(row, start) if event.type.startswith(prefix))
        if len(found) >= limit or fitting(found) < len(found):
            break
    return found[:limit]


def fitting(events: list[TimelineEvent]) -> int:
    """How many of them a page can hold, one at least."""
    room = MAX_PAGE_BYTES
    for count, event in enumerate(events):
        room -= len(event.data)
        if room < 0:
            return max(1, count)
    return len(events)
