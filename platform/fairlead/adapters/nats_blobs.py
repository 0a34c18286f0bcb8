"""Large bodies by the hash of their content: writing one twice leaves one, and what is read is what was written."""

import asyncio
import hashlib

import msgspec
from fairlead_tenants.ids import TenantId

from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_messages import WRONG_LAST_SEQUENCE, ApiRefused
from fairlead.adapters.nats_streams import BLOBS
from fairlead.domain.codec import UnreadableCommit
from fairlead.domain.envelope import MAX_COMMIT_BYTES
from fairlead.domain.subjects import blob_part

PART_BYTES = 512 * 1024  # below the message limit of any usual server
MOST_PARTS = MAX_COMMIT_BYTES // PART_BYTES
BEHIND_S = 2.0  # as long as a replica may be behind the one that acknowledged
AGAIN_S = 0.1
_ONLY_ONCE = b"NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: 0\r\n\r\n"


class NatsBlobs:
    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection

    async def put(self, tenant_id: TenantId, body: bytes) -> str:
        """SHA-256 of the body in hex. All of it is durable when this returns."""
        assert len(body) <= MAX_COMMIT_BYTES, "bodies are bounded before they come here"
        digest = hashlib.sha256(body).hexdigest()
        parts = [body[start : start + PART_BYTES] for start in range(0, len(body), PART_BYTES)]
        for number, part in enumerate(parts):
            await self._put_part(blob_part(tenant_id, digest, number), part)
        return digest

    async def put_again(self, tenant_id: TenantId, body: bytes) -> None:
        """Over parts that are not what was written: the last of a name is what is read."""
        digest = hashlib.sha256(body).hexdigest()
        for number, start in enumerate(range(0, len(body), PART_BYTES)):
            subject, part = blob_part(tenant_id, digest, number), body[start : start + PART_BYTES]
            await self._connection.publish(subject, part, b"NATS/1.0\r\n\r\n")

    async def get(self, tenant_id: TenantId, digest: str, size_bytes: int) -> bytes:
        """Raises UnreadableCommit when parts are missing or their hash is another."""
        parts = range(min(-(-size_bytes // PART_BYTES), MOST_PARTS))
        subjects = [blob_part(tenant_id, digest, part) for part in parts]
        found = await found_parts(self._connection, BLOBS, subjects)
        body = b"".join(found.get(subject, b"") for subject in subjects)
        if hashlib.sha256(body).hexdigest() != digest:
            raise UnreadableCommit(f"the blob {digest} is not what was written")
        return body

    async def _put_part(self, subject: str, part: bytes) -> None:
        try:
            await self._connection.patiently(lambda: self._connection.publish(subject, part, _ONLY_ONCE))
        except ApiRefused as refusal:
            if refusal.number not in WRONG_LAST_SEQUENCE:  # which here means that the part is there already
                raise


async def found_parts(connection: NatsConnection, stream: str, subjects: list[str]) -> dict[str, bytes]:
    """By subject. Whoever asks knows that they were written, but in a cluster any replica may answer, also one that
    has not got them yet."""
    question, loop = msgspec.json.encode({"multi_last": subjects}), asyncio.get_running_loop()
    deadline = loop.time() + BEHIND_S
    while True:
        replies, _ = await connection.patiently(
            lambda: connection.request_many(f"$JS.API.DIRECT.GET.{stream}", question)
        )
        if len(replies) == len(subjects) or loop.time() >= deadline:
            return {reply.header("Nats-Subject") or "": reply.data for reply in replies}
        await asyncio.sleep(AGAIN_S)
