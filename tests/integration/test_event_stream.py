"""Server-sent events: no gap and no repeat, however a client comes and goes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from fairlead_tenants.ids import TenantId

from fairlead.adapters.memory_log import MemoryLog
from fairlead.adapters.positions import Positions
from fairlead.adapters.postgres import Database
from fairlead.api import event_stream, live_events
from fairlead.api.commit_pages import OF_RUN, OF_TENANT, pages
from fairlead.api.event_stream import CLOSING, HEARTBEAT, NO_LONGER, OPENING, TOO_SLOW, EventStream, Wish
from fairlead.api.live_events import Frame, LiveEvents, TooManyStreams
from fairlead.api.timeline_events import START, CommitRow, Place, place_of
from fairlead.domain.approvals import ApprovalWithdrawn
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Denied, FairleadError
from fairlead.domain.runs import events as e
from tests.support.commits import Sung
from tests.support.histories import CODEC, Writer, a_run, approval_of, five_steps, started
from tests.support.reading import EVERYWHERE, folding, reader, running

ALICE, BOB = TenantId("tnt_alice"), TenantId("tnt_bob")
RUN = a_run(ALICE, 1)
COMMITS = list(five_steps(RUN))
SOON_S = 10.0


class Reads:
    """The read models of one tenant."""

    def __init__(self, positions: Positions, database: Database, run_id: str | None) -> None:
        self._positions = positions
        self._database = database
        self._run_id = run_id

    async def reached(self, sequence: int) -> bool:
        return await self._positions.reached(("run_commits", "run_board"), sequence, 0.2)

    def rows(self, from_sequence: int, to_sequence: int) -> AsyncIterator[list[CommitRow]]:
        until = {"to_sequence": to_sequence}
        if self._run_id is not None:
            return pages(reader(self._database, ALICE), OF_RUN, until | {"run_id": self._run_id}, from_sequence)
        return pages(reader(self._database, ALICE), OF_TENANT, until | EVERYWHERE.as_params(), from_sequence)


class Stage:
    """A log, its read models and its live events."""

    def __init__(self, log: MemoryLog, live: LiveEvents, positions: Positions, database: Database) -> None:
        self.writer = Writer(log)
        self.live = live
        self._positions = positions
        self._database = database

    async def stream(
        self,
        after: Place | None = START,
        run: StreamRef | None = RUN,
        ended_at: int | None = None,
        shows: Any = None,
        check: Any = None,
    ) -> EventStream:
        run_id = run.id if run else None
        listener = await self.live.open(ALICE, run_id)
        reads = Reads(self._positions, self._database, run_id)
        wish = Wish(tenant_id=ALICE, after=after, ended_at=ended_at)
        return EventStream(self.live, listener, reads, wish, shows or _everything, check or _still)


@pytest.fixture
async def stage(engine_database: Database, app_database: Database) -> AsyncIterator[Stage]:
    log = MemoryLog(CODEC)
    live = LiveEvents(log)
    async with folding(log, engine_database, app_database) as positions, running(live.run()):
        yield Stage(log, live, positions, app_database)


async def test_a_run_is_told_from_its_beginning_to_its_end(stage: Stage) -> None:
    for commit in COMMITS[:3]:
        await stage.writer.append(RUN, *commit)
    async with _reading(await stage.stream()) as read:
        assert _types(await read.events(3)) == _tags(COMMITS[:3])
        for commit in COMMITS[3:]:
            await stage.writer.append(RUN, *commit)
        assert _types(await read.rest()) == _tags(COMMITS[3:])
    assert set(read.comments) <= {HEARTBEAT}  # of a machine whose read models are behind for a while


async def test_a_stream_goes_on_exactly_after_any_event(stage: Stage) -> None:
    ended_at = await stage.writer.write(RUN, *COMMITS)
    async with _reading(await stage.stream(ended_at=ended_at)) as read:
        whole = await read.rest()
    assert len(whole) == sum(map(len, COMMITS))
    for index, (position, _) in enumerate(whole):
        async with _reading(await stage.stream(after=place_of(position), ended_at=ended_at)) as again:
            assert await again.rest() == whole[index + 1 :]


async def test_what_happens_while_a_client_catches_up_comes_once(stage: Stage) -> None:
    """Commits go on all the time; clients come at any moment and each gets every event once."""
    runs = [a_run(ALICE, number) for number in range(1, 41)]

    async def happen() -> None:
        for run in runs:
            for commit in five_steps(run):
                await stage.writer.append(run, *commit)
                await asyncio.sleep(0)
        await stage.writer.append(RUN, e.RunResumed(reason="the last"))

    async def listen() -> list[str]:
        async with _reading(await stage.stream(run=None)) as read:
            return [position for position, _ in await read.until("run.resumed.v1")]

    happening = asyncio.create_task(happen())
    heard = []
    for _ in range(12):
        heard.append(asyncio.create_task(listen()))
        await asyncio.sleep(0.02)
    await happening
    lists = await asyncio.gather(*heard)
    expected = 40 * sum(map(len, COMMITS)) + 1
    for positions in lists:
        assert len(positions) == len(set(positions)) == expected
        assert positions == sorted(positions, key=lambda text: tuple(map(int, text.split("-"))))


async def test_a_run_is_told_with_its_approvals_and_without_other_runs(stage: Stage) -> None:
    approval = StreamRef(ALICE, "approval", approval_of(RUN, 2))
    async with _reading(await stage.stream()) as read:
        await stage.writer.append(RUN, started(RUN))
        await stage.writer.append(a_run(ALICE, 2), started(a_run(ALICE, 2)))
        await stage.writer.append(a_run(BOB, 1), started(a_run(BOB, 1)))
        await stage.writer.append(approval, ApprovalWithdrawn(reason="moot"))
        await stage.writer.append(RUN, e.RunCancelled(reason="done"))
        assert _types(await read.rest()) == ["run.started.v1", "approval.withdrawn.v1", "run.cancelled.v1"]


async def test_a_tenant_hears_of_itself_only_and_of_what_it_may_see(stage: Stage) -> None:
    async def not_of_run_2(frame: Frame) -> bool:
        return frame.run_id != a_run(ALICE, 2).id

    async with _reading(await stage.stream(after=None, run=None, shows=not_of_run_2)) as read:
        for run in (a_run(BOB, 1), a_run(ALICE, 2), RUN):
            await stage.writer.append(run, started(run))
        await stage.writer.append(RUN, e.RunPaused(reason="the end"))
        found = await read.until("run.paused.v1")
        assert _types(found) == ["run.started.v1", "run.paused.v1"]


async def test_only_what_comes_is_told_to_whoever_asks_for_no_past(stage: Stage) -> None:
    await stage.writer.append(RUN, started(RUN))
    async with _reading(await stage.stream(after=None, run=None)) as read:
        await stage.writer.append(RUN, e.RunPaused(reason="new"))
        assert _types(await read.events(1)) == ["run.paused.v1"]


async def test_a_client_that_reads_too_slowly_is_cut_off_and_goes_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_events, "MAX_WAITING", 3)
    stream = await stage.stream()
    ended_at = await stage.writer.write(RUN, *COMMITS)
    async with _reading(stream) as slow:  # it asks the database first, and meanwhile everything has come
        first = await slow.rest()
    assert slow.comments == [TOO_SLOW]
    async with _reading(await stage.stream(after=place_of(first[-1][0]), ended_at=ended_at)) as again:
        assert _types(first + await again.rest()) == _tags(COMMITS)


async def test_a_quiet_stream_shows_that_it_lives_and_asks_whether_it_still_may(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "HEARTBEAT_S", 0.01)
    answers: Iterator[FairleadError | None] = iter([None, None, Denied("run:read")])

    async def check() -> None:
        if (refusal := next(answers)) is not None:
            raise refusal

    async with _reading(await stage.stream(check=check)) as read:
        assert await read.rest() == []
    assert read.comments == [HEARTBEAT, HEARTBEAT, NO_LONGER]


async def test_streams_are_cut_off_when_something_could_not_be_handed_out(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_events, "PAUSE_S", 0.01)
    async with _reading(await stage.stream()) as read:
        with monkeypatch.context() as broken:
            broken.setattr(live_events, "frame_of", lambda _: 1 / 0)
            await stage.writer.append(RUN, started(RUN))
            assert await read.rest() == []
    assert read.comments == [TOO_SLOW]
    async with _reading(await stage.stream()) as read:
        await stage.writer.append(RUN, e.RunPaused(reason="heard"))
        assert _types(await read.events(2)) == ["run.started.v1", "run.paused.v1"]


async def test_streams_end_when_the_program_is_about_to_stop(stage: Stage) -> None:
    await stage.writer.append(RUN, started(RUN))
    async with _reading(await stage.stream()) as read:
        await read.events(1)
        stage.live.end_all()
        assert await read.rest() == []
    assert read.comments[-1] == CLOSING


async def test_a_tenant_has_a_bounded_number_of_streams_and_closing_one_makes_room(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_events, "MAX_STREAMS_PER_TENANT", 2)
    first, _second = await stage.live.open(ALICE), await stage.live.open(ALICE)
    with pytest.raises(TooManyStreams):
        await stage.live.open(ALICE)
    await stage.live.open(BOB)
    stage.live.close(ALICE, first)
    await stage.live.open(ALICE)


async def test_a_stream_that_nobody_reads_to_its_end_makes_room_too(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_events, "MAX_STREAMS_PER_TENANT", 1)
    await stage.writer.append(RUN, started(RUN))
    for _ in range(3):
        async with _reading(await stage.stream()) as read:
            await read.events(1)


async def test_nothing_is_followed_while_nobody_listens(stage: Stage) -> None:
    async with _reading(await stage.stream()) as read:
        await stage.writer.append(RUN, started(RUN))
        await read.events(1)
    await stage.writer.append(RUN, e.RunPaused(reason="unheard"))
    async with _reading(await stage.stream()) as read:
        await stage.writer.append(RUN, e.RunResumed(reason="heard"))
        assert _types(await read.events(3)) == ["run.started.v1", "run.paused.v1", "run.resumed.v1"]


async def test_a_commit_that_cannot_be_read_is_passed_over_and_streams_go_on(stage: Stage) -> None:
    async with _reading(await stage.stream(run=None)) as read:
        await stage.writer.append(RUN, started(RUN))
        await stage.writer.append(a_run(ALICE, 2), Sung())
        await stage.writer.append(RUN, e.RunPaused(reason="lunch"))
        assert _types(await read.events(2)) == ["run.started.v1", "run.paused.v1"]


class _Read:
    """A client: records as they come, comments apart."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._ready: list[tuple[str, str]] = []
        self.comments: list[bytes] = []

    async def events(self, commits: int) -> list[tuple[str, str]]:
        """Position and type of each event of the next commits."""
        found = []
        while commits:
            if got := _records(await self._next()):
                found += got
                commits -= len({position.split("-")[0] for position, _ in got})
        return found

    async def until(self, event_type: str) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        while not found or found[-1][1] != event_type:
            found += _records(await self._next())
        return found

    async def rest(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        while True:
            try:
                found += _records(await self._next())
            except StopAsyncIteration:
                return found

    async def _next(self) -> bytes:
        async with asyncio.timeout(SOON_S):
            chunk = await anext(self._chunks)
        if chunk.startswith(b":"):
            self.comments.append(chunk)
        return chunk


@asynccontextmanager
async def _reading(stream: EventStream) -> AsyncIterator[_Read]:
    async with aclosing(aiter(stream)) as chunks:  # type: ignore[type-var]
        assert await anext(chunks) == OPENING
        yield _Read(chunks)


def _records(chunk: bytes) -> list[tuple[str, str]]:
    found = []
    for record in chunk.decode().split("\n\n"):
        if record.startswith("id: "):
            fields = dict(line.split(": ", 1) for line in record.split("\n"))
            found.append((fields["id"], fields["event"]))
    return found


def _types(found: list[tuple[str, str]]) -> list[str]:
    return [event_type for _, event_type in found]


def _tags(commits: list[tuple[Any, ...]]) -> list[str]:
    return [str(event.__struct_config__.tag) for commit in commits for event in commit]


async def _everything(_: Frame) -> bool:
    return True


async def _still() -> None:
    return None
