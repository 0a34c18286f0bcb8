"""A request with an `Idempotency-Key` is carried out once, however often it is sent.

The key is claimed before anything is done, together with a command id from which every id of the request follows. When
a process dies on the way, whoever asks next after the lease carries the request out again under the same ids, and what
had been done is found done. Only answers that say something was done are kept: a refusal did nothing, and is decided
anew. Answers that carry a secret are kept without it.

An answer is sent before it is kept, so that those of a moment are kept together. Whoever repeats a request in between
is answered from here or, by another process, waits for it; after a crash in between the claim still stands.
"""

import asyncio
import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec
import structlog
from litestar.types import HTTPResponseStartEvent, Message, Send
from msgspec import Struct

from fairlead.api.problems import KeyReused, TryAgain
from fairlead.api.together import MOST_AT_ONCE, Together
from fairlead.domain.errors import Invalid, Problem, Rejected, Unavailable
from fairlead.domain.ids import CommandId
from fairlead.ports import SqlDatabase

HEADER = b"idempotency-key"
MAX_KEY = 255
MAX_KEPT_BYTES = 1024 * 1024
KEPT_HEADERS = (b"content-type", b"location", b"etag", b"fairlead-position")
SECRET = "secret"  # noqa: S105  # the name of a field, and of a route's option
PURGE_EVERY = 64
RETRY_AFTER_S = 1
GATHER_S = 0.02  # answers that were sent gather for so long before they are kept
KEPT_WITHIN_S = 0.1  # by then they are, unless something is amiss
MOST_OWED = 256
MOST_OWED_BYTES = 4 * 1024 * 1024

# Lists go in binary: as text, each of their values would be looked through for what has to be escaped.
_CLAIM = """
SELECT place, claimed, request, status, headers, body
  FROM claim_requests(%(tenants)b, %(principals)b, %(keys)b, %(requests)b, %(commands)b)
"""
_SETTLE = """
SELECT settle_requests(%(tenants)b, %(principals)b, %(keys)b, %(commands)b, %(statuses)b::smallint[],
                       %(headers)b::jsonb[], %(bodies)b::bytea[]) AS count
"""
_PURGE = """
DELETE FROM idempotency
 WHERE (principal_id, key_sha256) IN (
       SELECT principal_id, key_sha256 FROM idempotency
        WHERE created_at <= now() - interval '24 hours'
        ORDER BY created_at
        LIMIT 1000)
"""
_log = structlog.get_logger()


class AnswerNotKept(Rejected):
    """The request was carried out, and its answer was too large to keep: read what it made."""

    code = "answer_not_kept"


class Asked(Struct, frozen=True, kw_only=True):
    """One request under one key of one principal."""

    tenant_id: str
    principal_id: str
    key: bytes
    request: bytes


class Answer(Struct, frozen=True, kw_only=True):
    status: int
    headers: dict[str, str]
    body: bytes | None


class Owed(Struct, frozen=True):
    """An answer that has to be kept, and the claim that it settles."""

    asked: Asked
    command_id: CommandId
    answer: Answer

    @property
    def size_bytes(self) -> int:
        return len(self.answer.body or b"")


class _Found(Struct, frozen=True):
    """`claimed` is the command id to work under; without it the rest says what is there."""

    place: int
    claimed: str | None
    request: bytes | None
    status: int | None
    headers: dict[str, str] | None
    body: bytes | None


class _Settled(Struct, frozen=True):
    count: int


def key_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The key's hash. Raises Invalid for one that is empty, too long or there twice."""
    sent = [value for name, value in headers if name == HEADER]
    if not sent:
        return None
    if len(sent) > 1 or not 1 <= len(sent[0]) <= MAX_KEY:
        message = f"must be one value of 1 to {MAX_KEY} bytes"
        raise Invalid([Problem(path="/Idempotency-Key", message=message)], "the idempotency key cannot be used")
    return hashlib.sha256(sent[0]).digest()


def request_hash(method: str, path: str, query: bytes, body: bytes) -> bytes:
    parts = (method.encode(), path.encode(), query, body)
    return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()


class Idempotency:
    def __init__(self, database: SqlDatabase, gather_s: float = GATHER_S) -> None:
        self._database = database
        self._gather_s = gather_s
        self._claim = Together(self._claim_all)
        self._settle = Together(self._settle_all)
        self._claims = 0
        self._owed: dict[tuple[str, str, bytes], Owed] = {}
        self._owed_bytes = 0
        self._keeping: asyncio.Task[None] | None = None

    async def claim(self, asked: Asked, command_id: CommandId) -> CommandId | Answer:
        """The command id to work under, which may be that of somebody who died; or the answer there is already.

        Raises KeyReused, TryAgain while somebody works on it, AnswerNotKept, Unavailable.
        """
        self._claims += 1
        if self._claims % PURGE_EVERY == 0:
            async with self._database.tenant(asked.tenant_id) as tx:
                await tx.run(_PURGE)
        if (owed := self._owed.get(_place(asked))) is not None:
            return _given(asked, owed)
        found = await self._claim((asked, command_id))
        if found is not None and found.claimed is None and found.status is None and found.request == asked.request:
            await asyncio.sleep(KEPT_WITHIN_S)  # it may have been answered by another process a moment ago
            found = await self._claim((asked, command_id))
        if found is None:
            raise TryAgain("the same request has just been given up", RETRY_AFTER_S)
        return CommandId(found.claimed) if found.claimed is not None else _answer(asked, found)

    async def settle(self, asked: Asked, command_id: CommandId, answer: Answer) -> None:
        """Keep an answer that says something was done, forget a refusal, let go of what nothing is known of.

        The first is done soon after; a refusal may be mended and sent again at once, so it is forgotten now.
        """
        owed = Owed(asked, command_id, answer)
        if answer.status >= 400 or not self._has_room_for(owed):
            await self._kept(owed)
            return
        self._owed[_place(asked)] = owed
        self._owed_bytes += owed.size_bytes
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep_owed())

    async def finish(self) -> None:
        """Keep now what is still owed: nobody asks any more."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        await self._keep_all()

    def _has_room_for(self, owed: Owed) -> bool:
        return len(self._owed) < MOST_OWED and self._owed_bytes + owed.size_bytes <= MOST_OWED_BYTES

    async def _keep_owed(self) -> None:
        try:
            while self._owed:
                await asyncio.sleep(self._gather_s)
                await self._keep_all()
        finally:
            self._keeping = None

    async def _keep_all(self) -> None:
        """What cannot be kept is left to its lease: a repeated request then finds its effects done."""
        gathered = list(self._owed.items())
        for start in range(0, len(gathered), MOST_AT_ONCE):
            page = gathered[start : start + MOST_AT_ONCE]
            try:
                await self._settle_all([owed for _, owed in page])
            except Unavailable:
                _log.warning("answers_not_kept", count=len(page))
            except Exception as error:  # noqa: BLE001  # one that the database refuses must not cost the others
                _log.error("answers_refused", count=len(page), error=type(error).__name__)  # its text may hold one
                await asyncio.gather(*(self._kept(owed) for _, owed in page), return_exceptions=True)
            for place, owed in page:
                del self._owed[place]
                self._owed_bytes -= owed.size_bytes

    async def _kept(self, owed: Owed) -> None:
        try:
            await self._settle(owed)
        except Unavailable:
            _log.warning("answer_not_kept")  # the lease ends; a repeated request finds its effects done

    async def _claim_all(self, claims: list[tuple[Asked, CommandId]]) -> list[_Found | None]:
        params = _columns([asked for asked, _ in claims]) | {
            "requests": [asked.request for asked, _ in claims],
            "commands": [command_id for _, command_id in claims],
        }
        found = {each.place: each for each in await self._database.call(_CLAIM, params, _Found)}
        return [found.get(place) for place in range(1, len(claims) + 1)]

    async def _settle_all(self, answered: list[Owed]) -> list[None]:
        answers = [owed.answer for owed in answered]
        params = _columns([owed.asked for owed in answered]) | {
            "commands": [owed.command_id for owed in answered],
            "statuses": [answer.status for answer in answers],
            "headers": [msgspec.json.encode(answer.headers).decode() for answer in answers],
            "bodies": [answer.body for answer in answers],
        }
        await self._database.call(_SETTLE, params, _Settled)
        return [None] * len(answered)


def _columns(asked: list[Asked]) -> dict[str, Any]:
    return {
        "tenants": [each.tenant_id for each in asked],
        "principals": [each.principal_id for each in asked],
        "keys": [each.key for each in asked],
    }


def _place(asked: Asked) -> tuple[str, str, bytes]:
    return asked.tenant_id, asked.principal_id, asked.key


def _given(asked: Asked, owed: Owed) -> Answer:
    """What was answered and is not kept yet, as it will be told once it is."""
    answer = owed.answer
    return _answer(asked, _Found(0, None, owed.asked.request, answer.status, answer.headers, answer.body))


def _answer(asked: Asked, found: _Found) -> Answer:
    if found.request != asked.request:
        raise KeyReused("this idempotency key was used for another request")
    if found.status is None:
        raise TryAgain("the same request is being carried out", RETRY_AFTER_S)
    if found.body is None:
        raise AnswerNotKept("the request was carried out; its answer is not kept")
    return Answer(status=found.status, headers=found.headers or {}, body=found.body)


class Recorder:
    """Holds an answer back until it is whole."""

    def __init__(self) -> None:
        self._start: HTTPResponseStartEvent | None = None
        self._body = bytearray()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        elif message["type"] == "http.response.body":
            self._body += message["body"]

    def answer(self, carries_secret: bool) -> Answer:
        assert self._start is not None, "every request is answered"
        headers = {
            name.decode(): value.decode("latin-1") for name, value in self._start["headers"] if name in KEPT_HEADERS
        }
        body = _without_secret(bytes(self._body)) if carries_secret else bytes(self._body)
        return Answer(status=self._start["status"], headers=headers, body=body if len(body) <= MAX_KEPT_BYTES else None)

    async def hand_over(self, send: Send) -> None:
        assert self._start is not None, "every request is answered"
        await send(self._start)
        await send({"type": "http.response.body", "body": bytes(self._body), "more_body": False})


async def replay(answer: Answer, send: Send) -> None:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in answer.headers.items()]
    body = answer.body or b""
    headers += [(b"idempotency-replayed", b"true"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _without_secret(body: bytes) -> bytes:
    document = msgspec.json.decode(body)
    return msgspec.json.encode({**document, SECRET: None}) if SECRET in document else body
