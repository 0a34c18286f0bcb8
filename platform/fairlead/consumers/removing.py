"""Carries out an expiry that is on the log, from whatever point it was left at: each step done again changes nothing.

A run is closed by an event at the end of its own stream, which the read models hear. Then its commits go from the log,
the last first, so that what is still there is always its beginning; then what lay beside the log; then the bodies in
the ledger, each leaving the text that its leaf's hash is of.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog
from fairlead_ledger.leaves import Place, leaf_of
from fairlead_ledger.merkle import HASH_BYTES
from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.consumers.ledger_leaves import remove_leaves
from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import FairleadError, Unavailable
from fairlead.domain.expiries import (
    Begun,
    ExpiringRun,
    ExpiryOfAccessesBegun,
    ExpiryOfLeavesBegun,
    ExpiryOfObjectsBegun,
)
from fairlead.domain.expiries import stream_of as expiry_stream
from fairlead.domain.ids import CommandId
from fairlead.domain.runs.commands import ExpireRun
from fairlead.domain.runs.events import RunContentExpired
from fairlead.domain.runs.states import Ended, Gone, RunState
from fairlead.handling.handler import Cause, Handler
from fairlead.handling.legal_holds import LegalHolds
from fairlead.ports import Clock, Log, LogRemoval, SqlSession, StaleObjects

PAGE = 100  # bodies in one transaction
FOLDED_BY = ("ledger", "expiries", "run_commits", "run_board", "approvals", "dead_letters", "accesses")
PATIENCE_S = 30.0
LOOK_EVERY_S = 0.05

_FOLDED = """
SELECT coalesce(min(sequence), 0) AS sequence
  FROM projection_positions
 WHERE shard = 0 AND name = ANY (%(names)s)
HAVING count(*) = cardinality(%(names)s)
"""
_BODIES = """
SELECT shard, sequence, kind, stream_id, message_id, claimed, body, hashes
  FROM ledger_commits
 WHERE tenant_id = %(tenant)s AND sequence = ANY (%(sequences)s) AND body IS NOT NULL
"""
_CLAIMED = """
SELECT encode(sha256(body), 'hex') AS sha256
  FROM ledger_commits
 WHERE tenant_id = %(tenant)s AND sequence = ANY (%(sequences)s) AND claimed AND body IS NOT NULL
"""
_FORGET = """
UPDATE ledger_commits SET body = NULL, leaf_text = %(text)s, expired_by = %(fact)s
 WHERE tenant_id = %(tenant)s AND sequence = %(sequence)s AND body IS NOT NULL
"""
_SYNCED = "SET LOCAL synchronous_commit = on"
_REMOVED = "UPDATE expiries SET removed_at = %(now)s WHERE tenant_id = %(tenant)s AND expiry_id = %(expiry)s"

_log = structlog.get_logger()


class _Body(Struct, frozen=True, kw_only=True):
    shard: int
    sequence: int
    kind: str
    stream_id: str
    message_id: str
    claimed: bool
    body: bytes
    hashes: bytes


class _Blob(Struct, frozen=True):
    sha256: str


class _At(Struct, frozen=True):
    sequence: int


class Removing:
    def __init__(
        self,
        log: Log,
        removal: LogRemoval,
        handler: Handler,
        clock: Clock,
        objects: StaleObjects | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._log = log
        self._removal = removal
        self._handler = handler
        self._holds = LegalHolds(handler)
        self._clock = clock
        self._objects = objects
        self._patience_s = patience_s

    async def carry_out(self, session: SqlSession, tenant_id: TenantId, expiry_id: str) -> bool:
        """False: not all of it yet, for the read models or the ledger lag behind. Raises Unavailable."""
        loaded = await self._handler.load(expiry_stream(tenant_id, expiry_id))
        state: Any = loaded.state
        assert isinstance(state, Begun), "the read model heard of it"
        if isinstance(state.what, ExpiryOfAccessesBegun):
            done = await self._accesses(session, tenant_id, loaded.sequence, state.what)
        elif isinstance(state.what, ExpiryOfLeavesBegun):
            done = await self._leaves(session, tenant_id, loaded.sequence, state.what)
        elif isinstance(state.what, ExpiryOfObjectsBegun):
            done = await self._stale_objects(tenant_id, state.what)
        else:
            done = await self._runs(session, tenant_id, expiry_id, state.what.runs)
        if done:
            async with session.transaction() as tx:
                await tx.fence(tenant_id)
                await tx.run(_REMOVED, {"tenant": tenant_id, "expiry": expiry_id, "now": self._clock.now()})
        return done

    async def _stale_objects(self, tenant_id: TenantId, what: ExpiryOfObjectsBegun) -> bool:
        if self._objects is not None:
            await self._objects.remove(tenant_id, what.stored_before, what.versions)
        return self._objects is not None

    async def _leaves(
        self, session: SqlSession, tenant_id: TenantId, fact: LogSequence, what: ExpiryOfLeavesBegun
    ) -> bool:
        if not await self._is_folded(session, fact):
            return False
        await remove_leaves(session, tenant_id, fact, what.sequences, what.made_before)
        return True

    async def _accesses(
        self, session: SqlSession, tenant_id: TenantId, fact: LogSequence, what: ExpiryOfAccessesBegun
    ) -> bool:
        if not await self._is_folded(session, fact):
            return False
        for sequence in reversed(what.sequences):
            await self._removal.remove(LogSequence(sequence))
        await self._forget(session, tenant_id, what.sequences, fact)
        return True

    async def _runs(
        self, session: SqlSession, tenant_id: TenantId, expiry_id: str, runs: Sequence[ExpiringRun]
    ) -> bool:
        retention = await self._holds.of(tenant_id)
        closed: list[tuple[ExpiringRun, LogSequence]] = []
        for run in runs:
            stream = StreamRef(tenant_id, "run", run.run_id)
            try:
                state: RunState = (await self._handler.load(stream)).state
                if isinstance(state, Ended) and retention.holds_on(run.run_id, state.last.start.labels):
                    continue  # the hold came first
                closed.append((run, await self._close(stream, expiry_id, run)))
            except Unavailable:
                raise
            except FairleadError as refused:
                _log.error("run_not_expired", tenant_id=tenant_id, run_id=run.run_id, reason=str(refused))
        if not await self._is_folded(session, max((fact for _, fact in closed), default=LogSequence(0))):
            return False
        for run, fact in closed:
            await self.remove_run(session, tenant_id, run, fact)
        return True

    async def _close(self, stream: StreamRef, expiry_id: str, run: ExpiringRun) -> LogSequence:
        """Where it is said that the run has expired. Raises RunStillOpen."""
        expired = RunContentExpired(
            expiry_id=expiry_id,
            run_id=run.run_id,
            workspace_id=run.workspace_id,
            environment_id=run.environment_id,
            workflow_id=run.workflow_id,
            ended_at=run.ended_at,
            commits=len(run.sequences),
            events=run.events,
            last_sequence=run.last_sequence,
            last_leaf=run.last_leaf,
        )
        cause = Cause(
            actor=SYSTEM,
            command_id=CommandId(f"cmd_{expiry_id}-{run.run_id.partition('_')[2]}"),
            causation_id=expiry_id,
            correlation_id=run.run_id,
        )
        handled = await self._handler.handle(stream, ExpireRun(expired=expired, now=self._clock.now()), cause)
        assert isinstance(handled.state, Gone), "it was closed, now or before"
        return handled.sequence

    async def remove_run(self, session: SqlSession, tenant_id: TenantId, run: ExpiringRun, fact: LogSequence) -> None:
        """Of a run that `fact` has closed, and that everybody has heard is closed."""
        late = await self._log.read(StreamRef(tenant_id, "run", run.run_id), LogSequence(run.last_sequence))
        sequences = [*run.sequences, *(each.sequence for each in late if each.sequence < fact)]
        for sequence in sorted(sequences, reverse=True):
            await self._removal.remove(LogSequence(sequence))
        async with session.transaction() as tx:
            await tx.fence(tenant_id)
            blobs = await tx.rows(_CLAIMED, {"tenant": tenant_id, "sequences": sequences}, _Blob)
        for blob in blobs:  # a commit's body names the commit, so no other has the same
            await self._removal.remove_blob(tenant_id, blob.sha256)
        await self._forget(session, tenant_id, sequences, fact)

    async def _forget(
        self, session: SqlSession, tenant_id: TenantId, sequences: Sequence[int], fact: LogSequence
    ) -> None:
        for start in range(0, len(sequences), PAGE):
            page = list(sequences[start : start + PAGE])
            async with session.transaction() as tx:
                await tx.run(_SYNCED)
                await tx.fence(tenant_id)
                found = await tx.rows(_BODIES, {"tenant": tenant_id, "sequences": page}, _Body)
                where = {"tenant": tenant_id, "fact": fact}
                texts = [(row.sequence, _text(tenant_id, row)) for row in found]
                rows = [where | {"sequence": sequence, "text": text} for sequence, text in texts if text is not None]
                if rows:
                    await tx.run_many(_FORGET, rows)

    async def _is_folded(self, session: SqlSession, sequence: int) -> bool:
        """By everybody who will not find it on the log again."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience_s
        while True:
            async with session.transaction() as tx:
                found = await tx.row(_FOLDED, {"names": list(FOLDED_BY)}, _At)
            if found is not None and found.sequence >= sequence:
                return True
            if loop.time() >= until:
                return False
            await asyncio.sleep(LOOK_EVERY_S)


def _text(tenant_id: TenantId, row: _Body) -> bytes | None:
    """What is hashed. None where the ledger does not have what its hash says: `fairlead ledger check` names it."""
    leaf = leaf_of(Place(row.shard, row.sequence, tenant_id, row.kind, row.stream_id, row.message_id), row.body)
    if leaf.hash == row.hashes[:HASH_BYTES]:
        return leaf.text
    _log.error("ledger_differs", tenant_id=tenant_id, sequence=row.sequence)
    return None
