"""Runs of tenants with everything that follows from their log, and a sweep that thinks it is a year later."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from fairlead_tenants.access import PrincipalKind
from fairlead_tenants.ids import PrincipalId, TenantId, WorkspaceId
from msgspec import Struct

from fairlead import app
from fairlead.adapters.cel import CelExpressions
from fairlead.adapters.memory_log import MemoryLog
from fairlead.adapters.plugins import Connectors
from fairlead.adapters.postgres import Database
from fairlead.consumers.ledger_runner import LedgerRunner
from fairlead.consumers.projection_runner import ProjectionRunner
from fairlead.consumers.retention_sweep import RetentionSweep
from fairlead.deciders import deciders
from fairlead.domain import approvals as a
from fairlead.domain.accesses import Access, Accessed
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.envelope import StreamRef
from fairlead.handling.handler import Handler
from fairlead.handling.rulebook import Rulebook
from fairlead.handling.tenant_tools import TenantTools
from fairlead.ports import Ids, LogRemoval, SqlSession, StaleObjects
from tests.support.clock import T0, ManualClock
from tests.support.database import columns
from tests.support.histories import ANN, CODEC, Writer, a_run, approval_of, call_of, five_steps

LATER = T0 + timedelta(days=365, hours=1)  # a year after the ends of all runs
PATIENCE_S = 20.0
KIND: PrincipalKind = "person"


_LEAST = "SELECT count(*) AS names, coalesce(min(sequence), 0) AS sequence FROM projection_positions WHERE shard = 0"


class Kept(Struct, frozen=True):
    """A run with an approval, and where each of its commits is."""

    run: StreamRef
    approval: StreamRef
    sequences: tuple[int, ...]


class Archive:
    def __init__(self, engine: Database, app_database: Database, ids: Ids) -> None:
        self.log = MemoryLog(CODEC)
        self.writer = Writer(self.log)
        self.clock = ManualClock(LATER)
        self.engine = engine
        self.app = app_database
        self.ids = ids
        self.handler = self.new_handler()

    def new_handler(self) -> Handler:
        """As another process has it."""
        tools = TenantTools(self.log, Connectors([]), self.clock)
        return Handler(self.log, self.clock, deciders(Rulebook(self.log, tools, CelExpressions())))

    def sweep(self, removal: LogRemoval | None = None, objects: StaleObjects | None = None) -> RetentionSweep:
        return RetentionSweep(
            self.log,
            removal or self.log,
            self.engine,
            self.new_handler(),
            self.clock,
            self.ids,
            objects=objects,
            pause_s=0.0,
        )

    async def caught_up(self) -> None:
        """Read models and ledger are at the end of the log."""
        last = await self.log.last_sequence()

        async with asyncio.timeout(PATIENCE_S):
            while True:
                async with self.engine.platform() as tx:
                    (found,) = await tx.rows(_LEAST, None, columns)
                if found["names"] > len(app.PROJECTIONS) and found["sequence"] >= last:
                    return
                await asyncio.sleep(0.02)

    async def swept(self, tenant: str) -> int:
        await self.caught_up()
        async with self.engine.session() as session:
            return await self.sweep().sweep_tenant(session, TenantId(tenant))

    async def kept(self, tenant: str, number: int) -> Kept:
        """Of five steps, with an approval beside them, all in the past."""
        run = a_run(tenant, number)
        approval = StreamRef(run.tenant_id, "approval", approval_of(run, 2))
        steps = list(five_steps(run))
        sequences = [await self.writer.append(run, *steps[0])]
        asked = a.ApprovalRequested(
            run_id=steps[0][0].run_id,
            call_id=call_of(run, 1),
            workspace_id=WorkspaceId("wsp_1"),
            workflow_name="pay",
            tool="notes.append_line",
            arguments={"text": "of a person"},
            rule_id="r1",
            reason="because",
            evidence={"before": "of a person"},
            fingerprint="f",
            digest="d",
            count=1,
            roles=("reviewer",),
            requested_by=(PrincipalId("prn_ann"),),
            deadline_at=T0,
        )
        sequences.append(await self.writer.append(approval, asked))
        sequences.append(await self.writer.append(approval, a.ApprovalWithdrawn(reason="not needed")))
        sequences += [await self.writer.append(run, *events) for events in steps[1:]]
        return Kept(run, approval, tuple(sequences))

    async def access(self, tenant: str, number: int) -> LogSequence:
        accessed = Accessed(
            at=T0,
            access=Access.READ,
            principal_id=ANN.id,
            principal_kind=KIND,
            route="/v1/runs/{run_id}",
            object=f"/v1/runs/of-a-person-{number}",
        )
        return await self.writer.append(StreamRef(TenantId(tenant), "access", f"acs_{number}"), accessed)

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """By every read model and the ledger; returns once they have come to the end."""
        running = [
            asyncio.create_task(ProjectionRunner(self.log, self.engine, app.PROJECTIONS).run()),
            asyncio.create_task(LedgerRunner(self.log, self.engine, look_every_s=0.05).run()),
        ]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def rows(self, tenant: str, statement: Any, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        async with self.engine.read(tenant) as tx:
            return await tx.rows(statement, params, dict)


class Death(BaseException):
    """The process is no more: nothing catches this, and nothing is done after it."""


class Fuse:
    """Lets `left` steps happen."""

    def __init__(self, left: int) -> None:
        self.left = left

    def burn(self) -> None:
        if self.left == 0:
            raise Death
        self.left -= 1


class MortalRemoval:
    def __init__(self, removal: LogRemoval, fuse: Fuse) -> None:
        self._removal = removal
        self._fuse = fuse

    async def remove(self, sequence: LogSequence) -> None:
        self._fuse.burn()
        await self._removal.remove(sequence)

    async def remove_blob(self, tenant_id: TenantId, sha256: str) -> None:
        self._fuse.burn()
        await self._removal.remove_blob(tenant_id, sha256)


class MortalSession:
    """Dies where a transaction would begin."""

    def __init__(self, session: SqlSession, fuse: Fuse) -> None:
        self._session = session
        self._fuse = fuse

    async def try_lock(self, name: str) -> bool:
        return await self._session.try_lock(name)

    def transaction(self) -> Any:
        self._fuse.burn()
        return self._session.transaction()


def streams_of(kept: Sequence[Kept]) -> list[StreamRef]:
    return [stream for each in kept for stream in (each.run, each.approval)]
