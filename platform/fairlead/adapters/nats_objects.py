"""The platform's object store on JetStream: objects by key, each tenant's apart, in each workspace and environment.

An object is one small message that says what it is, under its key, and its content in parts under a version of its
own. The message is written last, so a reader finds the old content or the new one, and never half of each.
"""

import hashlib
from base64 import b64decode
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from fairlead_sdk.errors import OutcomeUnknown, Refused, TryLater
from fairlead_sdk.objects import Objects, StoredObject
from fairlead_tenants.ids import EnvironmentId, TenantId, WorkspaceId
from msgspec import Struct

from fairlead.adapters.nats_blobs import PART_BYTES, found_parts
from fairlead.adapters.nats_connection import ApiRefused, NatsConnection
from fairlead.adapters.nats_messages import NOTHING_THERE, Refusal
from fairlead.adapters.nats_streams import OBJECTS
from fairlead.domain import subjects
from fairlead.domain.errors import Unavailable
from fairlead.ports import Clock

MAX_OBJECTS = 10_000  # in one place
AT_ONCE = 50  # in one question, which the engine takes up to some 64 KiB of

T = TypeVar("T")


class _Message(Struct, frozen=True):
    data: str = ""


class _Answer(Struct):
    message: _Message = _Message()
    error: Refusal | None = None


class _State(Struct, frozen=True):
    subjects: dict[str, int] | None = None


class Info(Struct, frozen=True):
    state: _State = _State()


class _Kept(Struct, frozen=True):
    """What stands under a key. `version` is where its parts are, `subject` whom the run was about that put it there."""

    object: StoredObject
    version: str
    subject: str = ""


_answer = msgspec.json.Decoder(_Answer).decode
kept_in = msgspec.json.Decoder(_Kept).decode


class NatsObjects:
    """Implements `ports.ObjectStores`."""

    def __init__(self, connection: NatsConnection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    def of(
        self, tenant_id: TenantId, workspace_id: WorkspaceId, environment_id: EnvironmentId, subject: str = ""
    ) -> Objects:
        root = subjects.objects_root(tenant_id, workspace_id, environment_id)
        return _Place(self._connection, self._clock, root, subject)


class _Place:
    def __init__(self, connection: NatsConnection, clock: Clock, root: str, subject: str) -> None:
        self._connection = connection
        self._clock = clock
        self._root = root
        self._subject = subject

    async def put(self, key: str, body: bytes, media_type: str, put_under: str) -> StoredObject:
        return await _changing(lambda: self._put(key, body, media_type, put_under))

    async def look(self, key: str) -> StoredObject | None:
        kept = await _reading(lambda: self._at(key))
        return kept.object if kept else None

    async def read(self, key: str) -> tuple[StoredObject, bytes] | None:
        return await _reading(lambda: self._read(key))

    async def delete(self, key: str) -> None:
        await _changing(lambda: self._delete(key))

    async def beginning(self, prefix: str, after: str, limit: int) -> list[StoredObject]:
        return await _reading(lambda: self._beginning(prefix, after, limit))

    async def _put(self, key: str, body: bytes, media_type: str, put_under: str) -> StoredObject:
        before = await self._at(key)
        if before is None and len(await self._keys()) >= MAX_OBJECTS:
            raise Refused(f"there are {MAX_OBJECTS} objects, and no more fit", "store_full")
        stored = StoredObject(
            key=key,
            media_type=media_type,
            size_bytes=len(body),
            sha256=hashlib.sha256(body).hexdigest(),
            put_under=put_under,
            stored_at=self._clock.now().isoformat(),
        )
        version = _version(key, put_under, stored.sha256)
        for number, start in enumerate(range(0, len(body), PART_BYTES)):
            await self._write(subjects.object_part(self._root, version, number), body[start : start + PART_BYTES])
        kept = msgspec.json.encode(_Kept(stored, version, self._subject))
        await self._write(subjects.object_key(self._root, key), kept)
        if before is not None and before.version != version:
            await self._purge(subjects.object_parts(self._root, before.version))
        return stored

    async def _read(self, key: str) -> tuple[StoredObject, bytes] | None:
        """Once more where it was replaced in between. Raises TryLater."""
        for _ in range(3):
            kept = await self._at(key)
            if kept is None:
                return None
            count = -(-kept.object.size_bytes // PART_BYTES)
            wanted = [subjects.object_part(self._root, kept.version, number) for number in range(count)]
            found = await found_parts(self._connection, OBJECTS, wanted) if wanted else {}
            body = b"".join(found.get(subject, b"") for subject in wanted)
            if hashlib.sha256(body).hexdigest() == kept.object.sha256:
                return kept.object, body
        raise TryLater("the object's content is not there as a whole", "object_incomplete")

    async def _delete(self, key: str) -> None:
        before = await self._at(key)
        if before is not None:
            await self._purge(subjects.object_key(self._root, key))
            await self._purge(subjects.object_parts(self._root, before.version))

    async def _beginning(self, prefix: str, after: str, limit: int) -> list[StoredObject]:
        keys = sorted(key for key in await self._keys() if key.startswith(prefix) and key > after)[:limit]
        found: list[StoredObject] = []
        for start in range(0, len(keys), AT_ONCE):
            wanted = [subjects.object_key(self._root, key) for key in keys[start : start + AT_ONCE]]
            bodies = await found_parts(self._connection, OBJECTS, wanted)
            found += [kept_in(bodies[subject]).object for subject in wanted if subject in bodies]
        return found

    async def _at(self, key: str) -> _Kept | None:
        """As the stream's leader knows it: a replica may be behind."""
        asked = msgspec.json.encode({"last_by_subj": subjects.object_key(self._root, key)})
        reply = await self._connection.patiently(
            lambda: self._connection.request(f"$JS.API.STREAM.MSG.GET.{OBJECTS}", asked)
        )
        answer = _answer(reply.data)
        if answer.error is None:
            return kept_in(b64decode(answer.message.data))
        if answer.error.err_code != NOTHING_THERE:
            raise answer.error.raised()
        return None

    async def _keys(self) -> list[str]:
        asked = {"subjects_filter": subjects.object_keys(self._root)}
        info = msgspec.convert(
            await self._connection.patiently(lambda: self._connection.api(f"STREAM.INFO.{OBJECTS}", asked)), Info
        )
        return [subjects.key_of_object(subject) for subject in info.state.subjects or ()]

    async def _write(self, subject: str, body: bytes) -> None:
        await self._connection.patiently(lambda: self._connection.publish(subject, body, b""))

    async def _purge(self, subject: str) -> None:
        await self._connection.patiently(lambda: self._connection.api(f"STREAM.PURGE.{OBJECTS}", {"filter": subject}))


def _version(key: str, put_under: str, digest: str) -> str:
    """The same when the same call puts the same again, so that a second attempt leaves nothing behind."""
    return hashlib.sha256(msgspec.json.encode((key, put_under, digest))).hexdigest()[:32]


async def _reading(ask: Callable[[], Awaitable[T]]) -> T:
    try:
        return await ask()
    except (Unavailable, ApiRefused) as fault:
        raise TryLater(str(fault), "store_unavailable") from fault


async def _changing(ask: Callable[[], Awaitable[T]]) -> T:
    try:
        return await ask()
    except (Unavailable, ApiRefused) as fault:
        raise OutcomeUnknown(str(fault), "store_unavailable") from fault
