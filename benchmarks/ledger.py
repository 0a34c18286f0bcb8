"""The ledger: how fast it keeps commits, how far it is behind at the full rate of the log, and what proofs cost."""

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fairlead_ledger.keys import Signer, Trust
from fairlead_ledger.reading import check_file
from fairlead_tenants.ids import TenantId
from msgspec import Struct

from benchmarks import machine
from benchmarks.load import percentile
from fairlead.adapters.content_keys import MemoryContentKeys
from fairlead.adapters.engines import Embedded
from fairlead.adapters.migrations import migrate
from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_log import NatsLog
from fairlead.adapters.nats_streams import ensure_streams
from fairlead.adapters.positions import Positions
from fairlead.adapters.postgres import Database
from fairlead.api.commit_pages import LAST, OF_RUN, pages
from fairlead.api.export_formats import NdjsonWriter, Scope
from fairlead.api.export_proofs import Proven, Prover
from fairlead.api.exports import Export
from fairlead.api.timeline_events import START
from fairlead.consumers import run_commits
from fairlead.consumers.ledger import NAME
from fairlead.consumers.projection_runner import ProjectionRunner
from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.domain.envelope import SYSTEM, Commit, Sequence, StreamRef
from fairlead.domain.ids import CallId, CommandId, child_id
from fairlead.domain.runs.events import ToolCallCompleted, ToolCallStarted
from fairlead.handling import ledgers
from fairlead.handling.contents import Contents

CONTENTS = Contents(MemoryContentKeys())
TENANT = TenantId("tnt_bench")
COMMITS = 20_000
LONG_RUN = 5_000  # commits of two events
WRITERS = 64
_WITHIN_S = 600.0


class _Position(Struct, frozen=True):
    sequence: int


async def measure(folder: Path) -> dict[str, Any]:
    async with Embedded(folder) as engines:
        urls = engines.urls
        await asyncio.to_thread(migrate, urls.database_owner)
        connection = await NatsConnection.open(urls.nats)
        try:
            await ensure_streams(connection)
            log = NatsLog(connection, Codec(EVENTS, UPCASTERS), contents=CONTENTS)
            async with Database(urls.database_engine) as database:
                return await _measured(log, database, engines)
        finally:
            await connection.close()


async def _measured(log: NatsLog, database: Database, engines: Embedded) -> dict[str, Any]:
    numbers = itertools.count(1)
    alone = await _fill(log, numbers, COMMITS)
    positions = Positions(database)
    listening = asyncio.create_task(positions.run())
    async with _keeper(engines) as groups:
        await positions.reached([NAME], Sequence(1), _WITHIN_S)
        before, first, began = await _position(database), machine.read(groups), time.perf_counter()
        assert await positions.reached([NAME], await log.last_sequence(), _WITHIN_S), "kept"
        kept = (COMMITS - before) / (time.perf_counter() - began)
        catching_up = _cpu_us(groups, first, COMMITS - before)
        first, lags = machine.read(groups), list[float]()
        watching = asyncio.create_task(_watch(log, positions, lags))
        beside = await _fill(log, numbers, COMMITS)
        assert await positions.reached([NAME], await log.last_sequence(), _WITHIN_S), "kept"
        keeping = _cpu_us(groups, first, COMMITS)
        watching.cancel()
        folding = asyncio.create_task(ProjectionRunner(log, database, [run_commits]).run())
        run = await _long_run(log, next(numbers))
        assert await positions.reached([NAME, "run_commits"], await log.last_sequence(), _WITHIN_S), "kept"
    for task in (watching, folding, listening):
        task.cancel()
        await asyncio.wait([task])
    return {
        "append_s": round(alone),
        "kept_s": round(kept),
        "kept_cpu_us": catching_up,
        "append_while_kept_s": round(beside),
        "while_kept_cpu_us": keeping,
        "lag_ms_p50": percentile(lags, 50),
        "lag_ms_p99": percentile(lags, 99),
        **await _exported(database, run, engines.directory),
    }


@asynccontextmanager
async def _keeper(engines: Embedded) -> AsyncIterator[dict[str, int]]:
    """The ledger is kept meanwhile, by a process of its own. Whose processor time it takes."""
    urls, postgres = engines.urls, engines.pids["postgres"]
    assert postgres is not None, "it runs"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.keeper", urls.nats, urls.database_engine
    )
    try:
        yield {"keeper": process.pid, "postgres": postgres}
    finally:
        process.terminate()
        await process.wait()


def _cpu_us(groups: Mapping[str, int], first: machine.Reading, commits: int) -> dict[str, int]:
    """For each commit."""
    spent = machine.between(first, machine.read(groups)).cpu_s
    return {name: round(1_000_000 * seconds / commits) for name, seconds in spent.items()}


async def _position(database: Database) -> int:
    async with database.platform() as tx:
        found = await tx.row("SELECT sequence FROM projection_positions WHERE name = 'ledger'", None, _Position)
    assert found is not None, "something is kept"
    return found.sequence


async def _fill(log: NatsLog, numbers: "itertools.count[int]", commits: int) -> float:
    """Each its own stream. Commits a second."""
    began, left = time.perf_counter(), iter(range(commits))

    async def writer() -> None:
        for _ in left:
            number = next(numbers)
            await log.append(_commit(StreamRef(TENANT, "run", f"run_{number:026}"), number, 1), Sequence(0))

    await asyncio.gather(*(writer() for _ in range(WRITERS)))
    return commits / (time.perf_counter() - began)


async def _long_run(log: NatsLog, number: int) -> StreamRef:
    run, head = StreamRef(TENANT, "run", f"run_{number:026}"), Sequence(0)
    for index in range(LONG_RUN):
        head = await log.append(_commit(run, number + index, 2 * index + 1), head)
    return run


def _commit(run: StreamRef, number: int, version: int) -> Commit[Any]:
    call_id = CallId(child_id("tcl", run.id, 1))
    completed = ToolCallCompleted(
        call_id=call_id,
        attempt=1,
        output={"line": number, "text": "y" * 250},
        output_sha256="0" * 64,
        latency_us=900,
        worker="w1",
    )
    return Commit(
        commit_id=CommandId(f"cmd_{number:020}{version:06}"),
        tenant_id=run.tenant_id,
        kind=run.kind,
        stream_id=run.id,
        first_version=version,
        at=datetime.now(UTC),
        actor=SYSTEM,
        events=(ToolCallStarted(call_id=call_id, attempt=1, worker="w1"), completed),
        correlation_id=run.id,
    )


async def _watch(log: NatsLog, positions: Positions, lags_ms: list[float]) -> None:
    while True:
        last, began = await log.last_sequence(), time.perf_counter()
        await positions.reached([NAME], last, _WITHIN_S)
        lags_ms.append(1000 * (time.perf_counter() - began))
        await asyncio.sleep(0.05)


async def _exported(database: Database, run: StreamRef, folder: Path) -> dict[str, Any]:
    signer, now = Signer(Ed25519PrivateKey.generate()), datetime.now(UTC)
    async with database.read(TENANT) as tx:
        size = await ledgers.size_of(tx)
        head = await ledgers.head_at(tx, signer, TENANT, size, now)
    proven = Proven(head=head, signer=lambda: signer, to_sequence=LAST, since=None)
    scope = Scope(run_id=run.id)
    file, took = folder / "run.ndjson", {}
    for name, prover in (
        ("export", None),
        ("export_with_proofs", Prover(lambda: database.read(TENANT), proven, scope.as_signed(), now, None)),
    ):
        found = pages(lambda: database.read(TENANT), OF_RUN, {"run_id": run.id, "to_sequence": LAST}, 0)
        began = time.perf_counter()
        with file.open("wb") as opened:
            async for part in _parts(Export(found, START, scope, "ndjson"), prover):
                opened.write(part)
        took[f"{name}_s"] = round(time.perf_counter() - began, 3)
        took[f"{name}_mb"] = round(file.stat().st_size / 1e6, 1)
    began = time.perf_counter()
    report = check_file(file, Trust([signer.public_key]))
    took["verify_s"] = round(time.perf_counter() - began, 3)
    assert report.is_sound, report.findings[:3]
    return {"ledger_size": size, "events": report.events, **took}


def _parts(export: Export, prover: Prover | None) -> AsyncIterator[bytes]:
    return export.written(NdjsonWriter(), prover)
