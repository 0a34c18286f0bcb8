"""Is nats-server one that keeps what it acknowledges: version, sync setting, room, replicas, clock."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from nats.aio.client import Client
from nats.errors import Error as NatsError

from fairlead.adapters.doctor.finding import Finding, clock_finding, fail, now, ok, warn
from fairlead.adapters.nats_connection import OLDEST_SERVER
from fairlead.domain.envelope import MAX_COMMIT_BYTES

_ANSWER_WITHIN_S = 5.0
_SILENCE_S = 0.5  # after which no other server of a cluster is expected to answer
_HEADERS_BYTES = 64 * 1024
_NAME = "nats-server"
_SYNC_SUBJECT = "$SYS.REQ.SERVER.PING.JSZ"
_SYNC_MEND = "set jetstream { sync_interval: always } and restart: an acknowledged commit may be lost otherwise"
_SHOW_MEND = (
    f'let the account ask the server: in the system account exports [{{ service: "{_SYNC_SUBJECT}", response_type: '
    f'stream }}], in ours imports [{{ service: {{ account: SYS, subject: "{_SYNC_SUBJECT}" }} }}]; until then look '
    "into its configuration yourself for jetstream { sync_interval: always }"
)


class _Server(Struct):
    name: str
    ver: str
    time: datetime


class _Info(Struct):
    server: _Server


class _JetStreamConfig(Struct):
    sync_always: bool = False
    max_storage: int = 0


class _JetStream(Struct):
    config: _JetStreamConfig = msgspec.field(default_factory=_JetStreamConfig)
    storage: int = 0


class _Report(Struct):
    server: _Server
    data: _JetStream


class _StreamConfig(Struct):
    name: str
    storage: str
    num_replicas: int


class _Cluster(Struct):
    name: str = ""


class _Stream(Struct):
    config: _StreamConfig
    cluster: _Cluster | None = None


class _Streams(Struct):
    streams: list[_Stream] | None = None
    error: dict[str, Any] | None = None


async def examine_nats(url: str, credentials: Path | None = None, tls: ssl.SSLContext | None = None) -> list[Finding]:
    try:
        async with _connected(url, credentials, tls) as client:
            return [ok(_NAME, "answers"), *await _findings(client)]
    except (TimeoutError, OSError, NatsError) as error:
        mend = "start the server, or correct the address or the credentials in FAIRLEAD_NATS_URL"
        return [fail(_NAME, f"does not answer ({type(error).__name__})", mend)]


async def _findings(client: Client) -> list[Finding]:
    asked_at = now()
    answer = await client.request("$SYS.REQ.USER.INFO", b"", timeout=_ANSWER_WITHIN_S)
    server = msgspec.json.decode(answer.data, type=_Info).server
    findings = [_version(client, server), clock_finding(_NAME, server.time, asked_at, now()), _max_payload(client)]
    reports = [report async for report in _reports(client)]
    return [*findings, *_sync(reports), *await _streams(client)]


def _version(client: Client, server: _Server) -> Finding:
    version = client.connected_server_version
    if (version.major, version.minor) < OLDEST_SERVER:
        oldest = ".".join(map(str, OLDEST_SERVER))
        return fail(f"version of {_NAME}", server.ver, f"upgrade to {oldest} or newer: timers need scheduled messages")
    return ok(f"version of {_NAME}", server.ver)


def _max_payload(client: Client) -> Finding:
    name = f"max_payload of {_NAME}"
    if client.max_payload < MAX_COMMIT_BYTES + _HEADERS_BYTES:
        return fail(name, f"{client.max_payload} bytes", "set max_payload: 10MB: the largest commit does not fit")
    return ok(name, f"{client.max_payload} bytes")


async def _reports(client: Client) -> AsyncIterator[_Report]:
    """Every server of a cluster answers for itself; none does where the account may not ask."""
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox)
    await client.publish(_SYNC_SUBJECT, b"", reply=inbox)
    with contextlib.suppress(TimeoutError, NatsError):
        while (message := await subscription.next_msg(timeout=_SILENCE_S)).data:
            yield msgspec.json.decode(message.data, type=_Report)


def _sync(reports: list[_Report]) -> Iterator[Finding]:
    if not reports:
        yield warn(f"durability of {_NAME}", "its settings cannot be seen from this account", _SHOW_MEND)
    for report in reports:
        name = f"durability of {_NAME} {report.server.name}"
        if report.data.config.sync_always:
            yield ok(name, "every write is synced before it is acknowledged")
        else:
            yield fail(name, "writes are acknowledged before they are synced", _SYNC_MEND)
        used = report.data.storage / max(report.data.config.max_storage, 1)
        if used > 0.8:
            yield warn(f"room of {_NAME}", f"{used:.0%} of max_file_store is used", "raise max_file_store, or add disk")


async def _streams(client: Client) -> list[Finding]:
    answer = await client.request("$JS.API.STREAM.LIST", b"", timeout=_ANSWER_WITHIN_S)
    listed = msgspec.json.decode(answer.data, type=_Streams)
    if listed.error:
        mend = "enable JetStream for the account"
        return [fail("JetStream", str(listed.error.get("description", "refused")), mend)]
    events = [stream for stream in listed.streams or () if stream.config.name.startswith("EVENTS_")]
    if not events:
        return [ok("streams", "not made yet; the first start makes them")]
    return [_stream(stream) for stream in events]


def _stream(stream: _Stream) -> Finding:
    name, replicas = f"stream {stream.config.name}", stream.config.num_replicas
    if stream.config.storage != "file":
        return fail(name, f"is kept in {stream.config.storage}", "make it anew with file storage: it is the log")
    if stream.cluster and stream.cluster.name and replicas < 3:  # a majority of 3 survives the loss of one
        return warn(name, f"has {replicas} replica(s) in a cluster", "set FAIRLEAD_NATS_REPLICAS=3")
    return ok(name, f"is on disk, replicas: {replicas}")


@asynccontextmanager
async def _connected(url: str, credentials: Path | None, tls: ssl.SSLContext | None) -> AsyncIterator[Client]:
    client = Client()
    try:
        async with asyncio.timeout(_ANSWER_WITHIN_S):
            servers = [server.strip() for server in url.split(",")]
            await client.connect(
                servers,
                name="fairlead doctor",
                user_credentials=credentials,
                tls=tls,
                error_cb=_unheard,
                allow_reconnect=False,
            )
        yield client
    finally:
        await client.close()


async def _unheard(error: Exception) -> None:
    """The library reports here what it raises as well, and prints it where nobody listens."""
