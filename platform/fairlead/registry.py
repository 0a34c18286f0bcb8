"""The log and the tenants on it, without the rest of the program: for commands that need no more and start at once."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from fairlead.adapters.clock import SystemClock
from fairlead.adapters.ids import UuidIds
from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_log import NatsLog
from fairlead.adapters.nats_messages import NO_STREAM, ApiRefused
from fairlead.adapters.nats_streams import ensure_streams
from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.domain.errors import Unavailable
from fairlead.domain.switches import board
from fairlead.domain.tenants import decide, states
from fairlead.handling.contents import UNSEEN, Contents
from fairlead.handling.founding import Founder
from fairlead.handling.handler import Decider, Handler
from fairlead.handling.log_guard import KeptUpTo, LogGuard
from fairlead.ports import Log
from fairlead.settings import Settings

TENANTS = Decider(initial=states.initial, evolve=states.evolve, decide=decide.decide)
SWITCHES = Decider(initial=board.initial, evolve=board.evolve, decide=board.decide)


class Registry(Struct, frozen=True, kw_only=True):
    log: Log
    founder: Founder


@asynccontextmanager
async def registry(settings: Settings, name: str) -> AsyncIterator[Registry]:
    """Raises Unavailable when the log does not answer."""
    async with connected(settings, name) as connection, log_of(settings, connection) as log:
        clock = SystemClock()
        yield Registry(log=log, founder=Founder(Handler(log, clock, {"tenant": TENANTS}), UuidIds(), clock))


@asynccontextmanager
async def connected(settings: Settings, name: str) -> AsyncIterator[NatsConnection]:
    """To nats-server, with the streams as they must be. Raises Unavailable when it does not answer."""
    async with _opened(settings, name) as connection:
        await ensure_streams(connection, replicas=settings.nats_replicas)
        yield connection


@asynccontextmanager
async def log_of(
    settings: Settings, connection: NatsConnection, *, unasked_too: bool = False, contents: Contents = UNSEEN
) -> AsyncIterator[NatsLog]:
    """To which nothing is written once it was taken back, where there is a database that knows. `unasked_too`: what
    must be done at once is written also while that does not answer."""
    codec = Codec(EVENTS, UPCASTERS)
    if settings.database_url is None:
        yield NatsLog(connection, codec, contents=contents)
        return
    from fairlead.adapters.positions import kept_up_to
    from fairlead.adapters.postgres import Database

    async with Database(settings.database_url, max_connections=1) as database:

        async def kept() -> KeptUpTo | None:
            try:
                return await kept_up_to(database)
            except Unavailable:
                if unasked_too:
                    return None
                raise

        guard = LogGuard(kept, NatsLog(connection, codec).last_sequence, lambda: connection.breaks)
        looking = asyncio.create_task(guard.run())
        try:
            yield NatsLog(connection, codec, guard=guard, contents=contents)
        finally:
            looking.cancel()
            await asyncio.wait([looking])


@asynccontextmanager
async def existing_log(settings: Settings, name: str) -> AsyncIterator[Log | None]:
    """None where nobody has made it yet, which this does not change. Raises Unavailable."""
    async with _opened(settings, name) as connection:
        log = NatsLog(connection, Codec(EVENTS, UPCASTERS))
        try:
            await log.last_sequence()
        except ApiRefused as refused:
            if refused.number != NO_STREAM:
                raise
            yield None
        else:
            yield log


@asynccontextmanager
async def _opened(settings: Settings, name: str) -> AsyncIterator[NatsConnection]:
    assert settings.nats_url is not None, "the caller has seen to the engines"
    connection = await NatsConnection.open(
        settings.nats_url, name=f"fairlead-{name}", credentials=settings.nats_credentials_file, tls=nats_tls(settings)
    )
    try:
        yield connection
    finally:
        await connection.close()


def nats_tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.nats_ca_file is None and settings.nats_cert_file is None:
        return None
    context = ssl.create_default_context(cafile=settings.nats_ca_file)
    if settings.nats_cert_file is not None:
        context.load_cert_chain(settings.nats_cert_file, settings.nats_key_file)
    return context
