"""Events as they happen: of one run, or of everything a principal may see."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Annotated

from fairlead_tenants.access import Permission, Principal
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter, QueryParameter
from litestar.response import Stream

from fairlead.api.commit_pages import OF_RUN, OF_TENANT, Within, pages
from fairlead.api.event_stream import EventStream, History, Wish
from fairlead.api.guards import requires
from fairlead.api.live_events import Frame, LiveEvents
from fairlead.api.looking import Looking
from fairlead.api.parts import ApiParts
from fairlead.api.positions import MAX_WAIT_S
from fairlead.api.run_access import RunPlaces, asked_again, check_run, load_run, place_of_run, reader
from fairlead.api.timeline_events import START, CommitRow, Place, place_of
from fairlead.domain.runs.states import Ended

MEDIA_TYPE = "text/event-stream"
READ_MODELS = ("run_commits", "run_board")

LastEventId = Annotated[
    str | None,
    HeaderParameter(name="Last-Event-ID", max_length=40, description="Position of the last event that was received."),
]
After = Annotated[
    str | None, QueryParameter(name="after", max_length=40, description="The same, for who cannot send the header.")
]


@get("/v1/runs/{run_id:str}/events", opt=requires(Permission.RUN_READ), tags=["Live events"], media_type=MEDIA_TYPE)
async def stream_run(
    run_id: FromPath[str],
    principal: NamedDependency[Principal],
    parts: NamedDependency[ApiParts],
    heard: NamedDependency[LiveEvents],
    looking: NamedDependency[Looking],
    last_event_id: LastEventId = None,
    after: After = None,
) -> Stream:
    """A run's timeline from its beginning, then live; ends after the run's end, and after what it undoes then. Goes on
    after `Last-Event-ID`."""
    start = _start(last_event_id, after) or START
    listener = await heard.open(principal.tenant_id, run_id)
    run = await load_run(parts, principal, run_id, Permission.RUN_READ)
    looking.check(place_of_run(run.run))
    is_over = isinstance(run.state, Ended) and not run.state.undoing.is_open
    wish = Wish(tenant_id=principal.tenant_id, after=start, ended_at=run.sequence if is_over else None)

    async def shows(_: Frame) -> bool:
        return True

    async def check() -> None:
        now = await asked_again(parts, principal)
        check_run(now, Permission.RUN_READ, place_of_run(run.run))
        looking.again(now).check(place_of_run(run.run))

    history = _History(parts, principal, looking, run_id)
    return _stream(EventStream(heard, listener, history, wish, shows, check))


@get("/v1/events", opt=requires(Permission.RUN_READ), tags=["Live events"], media_type=MEDIA_TYPE)
async def stream_tenant(
    principal: NamedDependency[Principal],
    parts: NamedDependency[ApiParts],
    heard: NamedDependency[LiveEvents],
    looking: NamedDependency[Looking],
    places: NamedDependency[RunPlaces],
    last_event_id: LastEventId = None,
    after: After = None,
) -> Stream:
    """Events of all runs that the principal may see, as they happen. Goes on after `Last-Event-ID`."""
    start = _start(last_event_id, after)
    listener = await heard.open(principal.tenant_id)
    seen = looking.within(Permission.RUN_READ)

    async def shows(frame: Frame) -> bool:
        place = await places.of(principal.tenant_id, frame.run_id)
        return seen.holds(place.workspace_id, place.environment_id)

    async def check() -> None:
        nonlocal seen
        seen = looking.again(await asked_again(parts, principal)).within(Permission.RUN_READ)

    wish = Wish(tenant_id=principal.tenant_id, after=start)
    return _stream(EventStream(heard, listener, _History(parts, principal, looking, None, seen), wish, shows, check))


class _History(History):
    def __init__(
        self, parts: ApiParts, principal: Principal, looking: Looking, run_id: str | None, seen: Within | None = None
    ) -> None:
        self._parts = parts
        self._tenant_id = principal.tenant_id
        self._looking = looking
        self._run_id = run_id
        self._seen = seen

    async def reached(self, sequence: int) -> bool:
        return await self._parts.positions.reached(READ_MODELS, sequence, MAX_WAIT_S)

    def rows(self, from_sequence: int, to_sequence: int) -> AsyncIterator[list[CommitRow]]:
        read, show = reader(self._parts, self._tenant_id), self._looking.show
        if self._seen is None:
            return pages(read, OF_RUN, {"run_id": self._run_id, "to_sequence": to_sequence}, from_sequence, show)
        return pages(read, OF_TENANT, self._seen.as_params() | {"to_sequence": to_sequence}, from_sequence, show)


@asynccontextmanager
async def followed(lives: Sequence[LiveEvents], closing: asyncio.Event) -> AsyncIterator[None]:
    """The log is followed for open streams meanwhile; they end when the program is about to stop."""
    tasks = [asyncio.create_task(each) for live in lives for each in (live.run(), _end_when(closing, live))]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def _end_when(closing: asyncio.Event, live: LiveEvents) -> None:
    await closing.wait()
    live.end_all()


def _start(last_event_id: str | None, after: str | None) -> Place | None:
    if last_event_id:
        return place_of(last_event_id, "Last-Event-ID")
    return None if after is None else place_of(after)


def _stream(events: EventStream) -> Stream:
    return Stream(aiter(events), media_type=MEDIA_TYPE, headers={"X-Accel-Buffering": "no"})
