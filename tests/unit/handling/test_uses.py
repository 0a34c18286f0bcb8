"""Uses of connections reach the log together, in order, and once, whatever the log does."""

import asyncio
from typing import Any

from fairlead.adapters.ids import UuidIds
from fairlead.adapters.memory_log import MemoryLog
from fairlead.domain.connections.events import ConnectionUsed
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import StreamMoved, Unavailable
from fairlead.domain.ids import CallId, RunId
from fairlead.handling import side_streams
from fairlead.handling.uses import MAX_USES, UseWriter
from tests.support.clock import T0, ManualClock
from tests.support.connections import ALICE, BOB, DESK, LIVE, MAIN, READ
from tests.support.histories import CODEC


class Moody(MemoryLog):
    """Raises what it is told to, then does what it is asked."""

    def __init__(self, *moods: Exception) -> None:
        super().__init__(CODEC)
        self._moods = list(moods)

    async def append(self, commit: Any, expected: LogSequence, subject: str = "", marks: Any = None) -> LogSequence:
        await asyncio.sleep(0)
        if self._moods:
            raise self._moods.pop(0)
        return await super().append(commit, expected, subject, marks)


def used(number: int, connection: str = MAIN) -> ConnectionUsed:
    return ConnectionUsed(
        connection_id=connection,  # type: ignore[arg-type]  # any will do
        workspace_id=DESK,
        environment_id=LIVE,
        secret_version=1,
        tool="ledger.read_lines",
        scopes=(READ,),
        run_id=RunId("run_1"),
        call_id=CallId(f"tcl_1-{number}"),
        attempt=1,
        purpose="call",
        worker="worker-1",
        lent_at=T0,
        lent_until=T0,
    )


async def on_the_log(log: MemoryLog) -> list[list[str]]:
    async with log.follow(LogSequence(0), ("connection_use",)) as batches:
        async for batch in batches:
            return [[event.call_id for event in each.commit.events] for each in batch]  # type: ignore[union-attr]
    return []


def writer(log: MemoryLog) -> UseWriter:
    return UseWriter(log, ManualClock(), UuidIds())


async def test_what_comes_together_is_one_commit_up_to_a_limit() -> None:
    log = Moody()
    here = writer(log)
    await asyncio.gather(*(here.write(ALICE, used(number)) for number in range(MAX_USES + 1)))
    assert [len(commit) for commit in await on_the_log(log)] == [MAX_USES, 1]


async def test_what_comes_while_a_commit_is_under_way_shares_the_next() -> None:
    log = Moody()
    here = writer(log)
    first = here.write(ALICE, used(1))
    await asyncio.sleep(0)
    await asyncio.gather(first, here.write(ALICE, used(2)), here.write(ALICE, used(3)))
    assert await on_the_log(log) == [["tcl_1-1"], ["tcl_1-2", "tcl_1-3"]]


async def test_processes_connections_and_tenants_never_wait_for_one_another() -> None:
    log = Moody()
    here, there = writer(log), writer(log)
    await asyncio.gather(
        here.write(ALICE, used(1)),
        there.write(ALICE, used(2)),
        here.write(ALICE, used(3, "con_2")),
        here.write(BOB, used(4)),
    )
    assert sorted(await on_the_log(log)) == [["tcl_1-1"], ["tcl_1-2"], ["tcl_1-3"], ["tcl_1-4"]]


async def test_a_log_that_is_away_is_asked_until_it_is_back(monkeypatch: Any) -> None:
    monkeypatch.setattr(side_streams, "AGAIN_S", 0.001)
    log = Moody(Unavailable("the log"), StreamMoved("elsewhere"), Unavailable("the log"))
    here = writer(log)
    await asyncio.gather(here.write(ALICE, used(1)), here.write(ALICE, used(2)))
    await here.write(ALICE, used(3))
    assert await on_the_log(log) == [["tcl_1-1", "tcl_1-2"], ["tcl_1-3"]]


async def test_a_use_is_written_also_when_nobody_waits_for_it() -> None:
    log = Moody()
    here = writer(log)
    here.write(ALICE, used(1)).cancel()
    await here.write(ALICE, used(2))
    assert await on_the_log(log) == [["tcl_1-1", "tcl_1-2"]]


async def test_streams_that_were_let_go_begin_anew(monkeypatch: Any) -> None:
    monkeypatch.setattr(side_streams, "KEPT_STREAMS", 1)
    log = Moody()
    here = writer(log)
    for number, connection in enumerate(["con_1", "con_2", "con_1"]):
        await here.write(ALICE, used(number, connection))
    assert len(await on_the_log(log)) == 3
