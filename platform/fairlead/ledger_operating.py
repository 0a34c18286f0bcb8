"""What the operator does with the ledger, on the engines themselves: hold the log against it, and mend the log."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

import msgspec
from fairlead_ledger.heads import Head
from msgspec import Struct

from fairlead.adapters.clock import SystemClock
from fairlead.adapters.ledger_keys import FILE_NAME, add_key, ledger_keys, retire_keys
from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_log import NatsLog
from fairlead.adapters.nats_repair import LogRepair
from fairlead.adapters.nats_streams import THE_SHARD
from fairlead.adapters.postgres import Database
from fairlead.consumers.ledger import Keeper, LogDiverged
from fairlead.consumers.ledger_check import Fault, check, compared, kept_commits, side_by_side
from fairlead.consumers.ledger_expired import going_of
from fairlead.consumers.ledger_leaves import removed_leaves
from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import Rejected
from fairlead.operating import OwnerUrlNeeded, on_engines
from fairlead.ports import Copy, LogCopies, SqlSession
from fairlead.registry import connected
from fairlead.settings import Settings

PAGE = 500


class StillRunning(Rejected):
    """Engines are at work: the log is mended while nobody writes to it."""

    code = "engines_at_work"


class Restored(Struct, frozen=True, kw_only=True):
    """Of one `shard`. `put_back` commits have their old numbers again. `moved` ones were acknowledged under numbers
    that others had before, and are at the end now; `conflicting` ones do not fit what is before them. `file` holds
    both."""

    shard: int
    put_back: int
    blobs: int
    moved: int
    conflicting: int
    lost: int
    renewed: bool
    file: Path | None


class _Places(Struct, frozen=True, kw_only=True):
    """What is wrong with a log: from where it is, and which commits of it the ledger knows nothing of."""

    first_wrong: int
    only_at_end: bool
    put_back: int
    lost: int
    blobs: list[Copy]
    strangers: list[Copy]


async def check_ledger(settings: Settings, receipts: Sequence[Head], tell: Callable[[Fault], None]) -> int:
    """How many things do not agree. Raises OwnerUrlNeeded."""
    count = 0
    async with (
        _opened(settings) as (log, _, owner),
        owner.session() as session,
        aclosing(check(log, session, THE_SHARD, receipts)) as faults,
    ):
        async for fault in faults:
            count += 1
            tell(fault)
    return count


async def restore_ledger(settings: Settings, folder: Path) -> Restored:
    """Raises StillRunning, OwnerUrlNeeded."""
    async with _opened(settings) as (log, connection, owner), owner.session() as session:
        for name in (f"ledger/{THE_SHARD}", f"projections/{THE_SHARD}"):
            if not await session.try_lock(name):
                raise StillRunning("an engine is at work: stop the API, engines and workers first")
        await catch_up(log, session)
        repair = LogRepair(connection, THE_SHARD, settings.nats_replicas)
        return await restore(log, repair, session, folder)


async def catch_up(log: LogCopies, session: SqlSession, shard: int = 0) -> None:
    """Keep what the log has beyond the ledger, so that nothing is in one place only. Not of a log that has diverged."""
    keeper = await Keeper.begin(session, shard)
    try:
        await keeper.check_log(log)
    except LogDiverged:
        return
    async with log.copies(LogSequence(keeper.standing.sequence), max_batch=PAGE) as batches:
        async for batch in batches:
            if not batch:
                return
            await keeper.keep(session, batch)


async def restore(log: NatsLog, repair: LogRepair, session: SqlSession, folder: Path, shard: int = 0) -> Restored:
    """Nobody else writes. What the log lost comes from the ledger; what only the log has goes on after it."""
    places = await _compared(log, session, shard)
    for copy in places.blobs:
        await repair.mend_blob(copy)
    file = _kept_aside(places.strangers, folder)
    moved, renewed = 0, False
    if places.put_back:
        renewed = bool(places.strangers) or not places.only_at_end
        if renewed:
            await repair.renew()
        after = 0 if renewed else places.first_wrong - 1
        async with aclosing(_pages(session, shard, after)) as pages:
            async for page in pages:
                after = await repair.put(page, after)
        await repair.finish()
        moved = await _moved(log, repair, places.strangers)
    return Restored(
        shard=shard,
        put_back=places.put_back,
        blobs=len(places.blobs),
        moved=moved,
        conflicting=len(places.strangers) - moved,
        lost=places.lost,
        renewed=renewed,
        file=file,
    )


def new_key(settings: Settings) -> str:
    """A fresh key signs from now on; its id."""
    return add_key(_key_file(settings), SystemClock().now())


def retire(settings: Settings) -> list[str]:
    return retire_keys(_key_file(settings))


def _key_file(settings: Settings) -> Path:
    ledger_keys(settings.ledger_keys_file, settings.data_dir, SystemClock().now())
    return settings.ledger_keys_file or settings.data_dir / FILE_NAME


async def _compared(log: LogCopies, session: SqlSession, shard: int) -> _Places:
    first, put_back, expected, lost = 0, 0, 1, 0
    blobs: list[Copy] = []
    strangers: list[Copy] = []
    is_tail, going, removed = True, await going_of(session, shard), await removed_leaves(session, shard)
    async with aclosing(side_by_side(log, session, shard)) as places:
        async for copy, kept in places:
            there = kept.copy if kept else copy
            assert there is not None, "a place has something"
            sequence = there.sequence
            lost += removed.unknown(expected, sequence)
            expected = sequence + 1
            if kept is not None and kept.leaf_text is not None:  # it has expired: there is nothing to put back
                is_tail &= not first
                continue
            kinds = {fault.kind for fault in compared(copy, kept, 0, going)}
            if "blob_damaged" in kinds and kept is not None:
                blobs.append(kept.copy)
            elif kept is None and copy is not None:
                strangers.append(copy)
            elif kinds and kept is not None:
                put_back += 1
                first = first or sequence
                is_tail &= copy is None
                if copy is not None and copy.message_id != kept.copy.message_id:
                    strangers.append(copy)
            elif first:
                is_tail = False
    return _Places(
        first_wrong=first, only_at_end=is_tail, put_back=put_back, lost=lost, blobs=blobs, strangers=strangers
    )


async def _pages(session: SqlSession, shard: int, after: int) -> AsyncGenerator[list[Copy], None]:
    page: list[Copy] = []
    async with aclosing(kept_commits(session, shard)) as commits:
        async for kept in commits:
            if kept.copy.sequence > after and kept.leaf_text is None:
                page.append(kept.copy)
            if len(page) == PAGE:
                yield page
                page = []
    if page:
        yield page


async def _moved(log: NatsLog, repair: LogRepair, strangers: Sequence[Copy]) -> int:
    """Commits whose stream goes on with them are put at its end."""
    moved = 0
    for copy in strangers:
        history = await log.read(copy.stream)
        follows = 1 + (history[-1].commit.last_version if history else 0)
        if msgspec.json.decode(copy.body, type=_Numbered).first_version == follows:
            await repair.append(copy)
            moved += 1
    return moved


class _Numbered(Struct):
    first_version: int = 0


def _kept_aside(strangers: Sequence[Copy], folder: Path) -> Path | None:
    if not strangers:
        return None
    file = folder / f"ledger-restore-{SystemClock().now():%Y%m%dT%H%M%SZ}.ndjson"
    rows = [
        {
            "sequence": copy.sequence,
            "tenant_id": copy.stream.tenant_id,
            "kind": copy.stream.kind,
            "stream_id": copy.stream.id,
            "message_id": copy.message_id,
            "headers": copy.headers,
            "body": copy.body,
        }
        for copy in strangers
    ]
    file.touch(mode=0o600, exist_ok=False)
    file.write_bytes(msgspec.json.Encoder().encode_lines(rows))
    return file


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[NatsLog, NatsConnection, Database]]:
    async with AsyncExitStack() as parts:
        engines = await parts.enter_async_context(on_engines(settings))
        if engines.database_owner_url is None:
            raise OwnerUrlNeeded("set FAIRLEAD_DATABASE_OWNER_URL: only the owner may compare all tenants' ledgers")
        connection = await parts.enter_async_context(connected(engines, "ledger"))
        owner = await parts.enter_async_context(Database(engines.database_owner_url, max_connections=2))
        yield NatsLog(connection, Codec(EVENTS, UPCASTERS)), connection, owner
