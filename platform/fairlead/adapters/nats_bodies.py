"""What the messages of the log hold: a commit, or where a commit too large for a message lies."""

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from fairlead.adapters.nats_blobs import NatsBlobs
from fairlead.adapters.nats_messages import header_in
from fairlead.domain.codec import Codec, Unreadable, UnreadableCommit
from fairlead.domain.envelope import CLAIM_CHECK_BYTES
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.sealing import Marks
from fairlead.domain.subjects import stream_of
from fairlead.handling.contents import Contents
from fairlead.ports import AnyCommit, AnyRecorded, Copy, Followed


class Claim(Struct, frozen=True):
    sha256: str
    size_bytes: int


class ClaimCheck(Struct, frozen=True):
    v: int
    claim: Claim


_claim_check = msgspec.json.Decoder(ClaimCheck).decode
_CLAIM_STARTS = b'{"v":1,"claim":'  # no commit does: its first field is another


class Found(Struct, frozen=True):
    """A message of the log as the engine gave it."""

    sequence: int
    subject: str
    body: bytes
    headers: bytes = b""


class CommitBodies:
    def __init__(self, codec: Codec, blobs: NatsBlobs, contents: Contents) -> None:
        self._codec = codec
        self._blobs = blobs
        self._contents = contents

    async def pack(self, commit: AnyCommit, subject: str, marks: Marks | None = None) -> bytes:
        """The message for a commit. Raises CommitTooLarge, Unavailable."""
        body = self._codec.encode(await self._contents.sealed(commit, subject, marks))
        if len(body) <= CLAIM_CHECK_BYTES:
            return body
        digest = await self._blobs.put(commit.tenant_id, body)
        return msgspec.json.encode(ClaimCheck(v=1, claim=Claim(sha256=digest, size_bytes=len(body))))

    async def history(self, messages: Iterable[Found]) -> list[AnyRecorded]:
        """Raises UnreadableCommit: nothing may be decided on a history with a gap."""
        return [
            await self._recorded(found, await self._claimed(found) if is_claim(found) else found.body)
            for found in messages
        ]

    async def each(self, messages: Iterable[Found]) -> list[Followed]:
        """What each message holds, or why that cannot be read."""
        return [
            await (self._followed(found) if is_claim(found) else self._read(found, found.body)) for found in messages
        ]

    async def copies(self, messages: Iterable[Found]) -> list[Copy]:
        """What each message holds, unread."""
        return [await self.copy(found) for found in messages]

    async def copy(self, found: Found) -> Copy:
        body, claimed = found.body, is_claim(found)
        if claimed:
            try:
                body = await self._claimed(found)
            except UnreadableCommit:
                claimed = False
        return Copy(
            sequence=LogSequence(found.sequence),
            stream=stream_of(found.subject),
            message_id=header_in(found.headers, "Nats-Msg-Id") or "",
            headers=found.headers,
            body=body,
            claimed=claimed,
        )

    async def _followed(self, found: Found) -> Followed:
        try:
            body = await self._claimed(found)
        except UnreadableCommit as reason:
            return Unreadable(LogSequence(found.sequence), stream_of(found.subject), reason)
        return await self._read(found, body)

    async def _read(self, found: Found, body: bytes) -> Followed:
        try:
            return await self._recorded(found, body)
        except UnreadableCommit as reason:
            return Unreadable(LogSequence(found.sequence), stream_of(found.subject), reason)

    async def _recorded(self, found: Found, body: bytes) -> AnyRecorded:
        return await self._contents.recorded(self._codec, LogSequence(found.sequence), stream_of(found.subject), body)

    async def _claimed(self, found: Found) -> bytes:
        try:
            claim = _claim_check(found.body).claim
        except (msgspec.DecodeError, UnicodeDecodeError) as misfit:
            raise UnreadableCommit(f"it is not told where the commit lies: {misfit}") from misfit
        return await self._blobs.get(stream_of(found.subject).tenant_id, claim.sha256, claim.size_bytes)


def is_claim(found: Found) -> bool:
    return found.body.startswith(_CLAIM_STARTS)
