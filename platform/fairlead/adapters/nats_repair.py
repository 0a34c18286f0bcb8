"""Puts commits back on the log under the numbers that they had. Nobody else may write meanwhile."""

import asyncio
import hashlib
from collections.abc import Sequence
from itertools import count

import msgspec
from fairlead_tenants.ids import TenantId

from fairlead.adapters.nats_blobs import NatsBlobs
from fairlead.adapters.nats_bodies import Claim, ClaimCheck
from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_streams import ensure_events, events_stream, renew_events
from fairlead.domain.codec import UnreadableCommit
from fairlead.domain.subjects import events_of, events_root
from fairlead.ports import Copy

AT_ONCE = 256  # messages under way

_EXPECTS = b"nats-expected-"


class LogRepair:
    def __init__(self, connection: NatsConnection, shard: int, replicas: int) -> None:
        self._connection = connection
        self._shard = shard
        self._replicas = replicas
        self._stream = events_stream(shard)
        self._blobs = NatsBlobs(connection)
        self._fillers = count(1)

    async def renew(self) -> None:
        """Throw the stream away and make it anew, empty. Ends with `finish`."""
        await renew_events(self._connection, self._shard, self._replicas)

    async def finish(self) -> None:
        """Nothing can be deleted from it any more."""
        await ensure_events(self._connection, self._shard, self._replicas)

    async def put(self, copies: Sequence[Copy], after: int) -> int:
        """Each at its own number, `after` being the last that is there; a number that nobody has is left out.

        Numbers are left out only in a stream that was renewed. Returns the last number.
        """
        for start in range(0, len(copies), AT_ONCE):
            for copy in (page := copies[start : start + AT_ONCE]):
                if copy.claimed:
                    await self.mend_blob(copy)
            under_way: list[asyncio.Future[None]] = []
            for copy in page:
                for missing in range(after + 1, copy.sequence):
                    await asyncio.gather(*under_way)
                    under_way = []
                    await self._leave_out(missing)
                under_way.append(asyncio.ensure_future(self._put_one(copy)))
                after = copy.sequence
            await asyncio.gather(*under_way)
        return after

    async def append(self, copy: Copy) -> int:
        """At the end, under a new number."""
        message, headers = _message(copy), _headers(copy, None)
        stored = await self._connection.publish(events_of(copy.stream, self._shard), message, headers)
        return stored.seq

    async def mend_blob(self, copy: Copy) -> None:
        """The body of a commit that was too large for a message, where it is not what was written."""
        tenant_id = TenantId(copy.stream.tenant_id)
        digest = await self._blobs.put(tenant_id, copy.body)
        try:
            await self._blobs.get(tenant_id, digest, len(copy.body))
        except UnreadableCommit:
            await self._blobs.put_again(tenant_id, copy.body)

    async def _put_one(self, copy: Copy) -> None:
        message, headers = _message(copy), _headers(copy, copy.sequence - 1)
        stored = await self._connection.publish(events_of(copy.stream, self._shard), message, headers)
        assert stored.seq == copy.sequence, "the engine numbers what is stored in order"

    async def _leave_out(self, sequence: int) -> None:
        subject = f"{events_root(self._shard)}.0.lost.lost.{next(self._fillers)}"
        await self._connection.publish(subject, b"", _expecting(b"", sequence - 1))
        await self._connection.api(f"STREAM.MSG.DELETE.{self._stream}", {"seq": sequence, "no_erase": True})


def _message(copy: Copy) -> bytes:
    if not copy.claimed:
        return copy.body
    claim = Claim(sha256=hashlib.sha256(copy.body).hexdigest(), size_bytes=len(copy.body))
    return msgspec.json.encode(ClaimCheck(v=1, claim=claim))


def _headers(copy: Copy, last: int | None) -> bytes:
    """As they were, but for what was expected then."""
    lines = copy.headers.split(b"\r\n")[1:]
    kept = b"".join(line + b"\r\n" for line in lines if line and not line.lower().startswith(_EXPECTS))
    return _expecting(kept, last)


def _expecting(lines: bytes, last: int | None) -> bytes:
    expected = b"" if last is None else b"Nats-Expected-Last-Sequence: %d\r\n" % last
    return b"NATS/1.0\r\n%b%b\r\n" % (lines, expected)
