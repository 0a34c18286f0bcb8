"""What the messages of the log hold: a commit, or where a commit too large for a message lies."""

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from fairlead.adapters.nats_blobs import NatsBlobs
from fairlead.domain.codec import Codec
from fairlead.domain.envelope import CLAIM_CHECK_BYTES, Recorded
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.subjects import place_of
from fairlead.ports import AnyCommit, AnyRecorded


class Claim(Struct, frozen=True):
    sha256: str
    size_bytes: int


class ClaimCheck(Struct, frozen=True):
    v: int
    claim: Claim


_CLAIM_STARTS = b'{"v":1,"claim":'  # no commit does: its first field is another


class Found(Struct, frozen=True):
    """A message of the log as the engine gave it."""

    sequence: int
    subject: str
    body: bytes


class CommitBodies:
    def __init__(self, codec: Codec, blobs: NatsBlobs) -> None:
        self._codec = codec
        self._blobs = blobs

    async def pack(self, commit: AnyCommit) -> bytes:
        """The message for a commit. Raises CommitTooLarge."""
        body = self._codec.encode(commit)
        if len(body) <= CLAIM_CHECK_BYTES:
            return body
        digest = await self._blobs.put(commit.tenant_id, body)
        return msgspec.json.encode(ClaimCheck(v=1, claim=Claim(sha256=digest, size_bytes=len(body))))

    async def unpack(self, messages: Iterable[Found]) -> list[AnyRecorded]:
        return [
            self._recorded(found, await self._claimed(found) if found.body.startswith(_CLAIM_STARTS) else found.body)
            for found in messages
        ]

    def _recorded(self, found: Found, body: bytes) -> AnyRecorded:
        return Recorded(LogSequence(found.sequence), self._codec.decode(place_of(found.subject).kind, body), body)

    async def _claimed(self, found: Found) -> bytes:
        claim = msgspec.json.decode(found.body, type=ClaimCheck).claim
        return await self._blobs.get(place_of(found.subject).tenant_id, claim.sha256, claim.size_bytes)
