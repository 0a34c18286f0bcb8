"""Runs that wait for an account are found by it, each tenant's by its own, and never before the read model is there."""

import asyncio
from typing import Any

import pytest

from fairlead.adapters.memory_log import MemoryLog
from fairlead.adapters.postgres import Database
from fairlead.adapters.waiting_runs import WaitingRuns
from fairlead.consumers import run_board
from fairlead.domain.envelope import Sequence, StreamRef
from fairlead.domain.errors import Unavailable
from fairlead.domain.runs import events as e
from tests.support.histories import CODEC, Writer, a_run, call_of, dispatched, requested, started
from tests.support.reading import folding

ALICE, BOB = "tnt_alice", "tnt_bob"
LONG_S = 20.0


def waiting(run: StreamRef, connection_id: str) -> list[tuple[Any, ...]]:
    awaited = e.ToolCallConnectionAwaited(
        call_id=call_of(run, 1), attempt=1, connection_id=connection_id, code="reconnect_needed", message="gone"
    )
    return [(started(run), requested(run, 1), *dispatched(run, 1)), (awaited,)]


async def test_runs_are_found_by_the_account_they_wait_for(engine_database: Database, app_database: Database) -> None:
    log = MemoryLog(CODEC)
    writer, runs = Writer(log), WaitingRuns(engine_database)
    first, other, hers, gone_on = a_run(ALICE, 1), a_run(ALICE, 2), a_run(BOB, 3), a_run(ALICE, 4)
    for run, connection_id in ((first, "con_1"), (other, "con_2"), (hers, "con_1"), (gone_on, "con_1")):
        await writer.write(run, *waiting(run, connection_id))
    last = await writer.append(gone_on, e.ToolCallDispatched(call_id=call_of(gone_on, 1), attempt=2))
    with pytest.raises(Unavailable):
        await runs.for_connection(ALICE, "con_1", last)  # type: ignore[arg-type]  # a text is a tenant here
    async with folding(log, engine_database, app_database, (run_board,)) as positions, asyncio.timeout(LONG_S):
        assert await positions.reached(["run_board"], last, LONG_S)
        assert await runs.for_connection(ALICE, "con_1", last) == [first.id]  # type: ignore[arg-type]
        assert await runs.for_connection(BOB, "con_1", last) == [hers.id]  # type: ignore[arg-type]
        with pytest.raises(Unavailable):
            await runs.for_connection(ALICE, "con_1", Sequence(last + 1))  # type: ignore[arg-type]
