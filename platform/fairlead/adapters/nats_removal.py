"""Takes messages off the log, one by one and by number: the engine writes over their bytes, which a purge does not.

The streams deny to be purged, so nobody empties one with a word; what is deleted without a fact that says so, the
ledger finds.
"""

import msgspec
from fairlead_tenants.ids import TenantId

from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_messages import NOT_FOUND, ApiRefused
from fairlead.adapters.nats_streams import BLOBS, events_stream
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.subjects import blob_parts


class NatsRemoval:
    """Implements `ports.LogRemoval`."""

    def __init__(self, connection: NatsConnection, shard: int = 0) -> None:
        self._connection = connection
        self._stream = events_stream(shard)

    async def remove(self, sequence: LogSequence) -> None:
        await _delete(self._connection, self._stream, sequence)

    async def remove_blob(self, tenant_id: TenantId, sha256: str) -> None:
        """A part that was written twice is there twice, and the last of each name is what is found."""
        await remove_all(self._connection, BLOBS, blob_parts(tenant_id, sha256))


async def remove_all(connection: NatsConnection, stream: str, subject: str) -> None:
    """Every message under the subject, which may have a wildcard."""
    question = msgspec.json.encode({"multi_last": [subject]})
    while True:
        replies, _ = await connection.patiently(
            lambda: connection.request_many(f"$JS.API.DIRECT.GET.{stream}", question)
        )
        found = [reply.header("Nats-Sequence") for reply in replies]
        if not found:
            return
        for sequence in found:
            await _delete(connection, stream, int(sequence or 0))


async def _delete(connection: NatsConnection, stream: str, sequence: int) -> None:
    """Raises ApiRefused where the stream is one that was made to deny it."""
    try:
        await connection.patiently(lambda: connection.api(f"STREAM.MSG.DELETE.{stream}", {"seq": sequence}))
    except ApiRefused:  # of one that is gone it speaks as of one that may not be deleted
        question = msgspec.json.encode({"seq": sequence})
        found = await connection.patiently(lambda: connection.request(f"$JS.API.DIRECT.GET.{stream}", question))
        if found.status != NOT_FOUND:
            raise
