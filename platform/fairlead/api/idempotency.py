"""A request with an `Idempotency-Key` is carried out once, however often it is sent.

The key is claimed before anything is done, together with a command id from which every id of the request follows. When
a process dies on the way, whoever asks next after the lease carries the request out again under the same ids, and what
had been done is found done. Only answers that say something was done are kept: a refusal did nothing, and is decided
anew. Answers that carry a secret are kept without it.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec
import structlog
from litestar.types import HTTPResponseStartEvent, Message, Send
from msgspec import Struct

from fairlead.api.problems import KeyReused, TryAgain
from fairlead.api.together import Together
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

_CLAIM = """
SELECT place, claimed, request, status, headers, body
  FROM claim_requests(%(tenants)s, %(principals)s, %(keys)s, %(requests)s, %(commands)s)
"""
_SETTLE = """
SELECT settle_requests(%(tenants)s, %(principals)s, %(keys)s, %(commands)s, %(statuses)s::smallint[],
                       %(headers)s::jsonb[], %(bodies)s::bytea[]) AS count
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
    def __init__(self, database: SqlDatabase) -> None:
        self._database = database
        self._claim = Together(self._claim_all)
        self._settle = Together(self._settle_all)
        self._claims = 0

    async def claim(self, asked: Asked, command_id: CommandId) -> CommandId | Answer:
        """The command id to work under, which may be that of somebody who died; or the answer there is already.

        Raises KeyReused, TryAgain while somebody works on it, AnswerNotKept, Unavailable.
        """
        self._claims += 1
        if self._claims % PURGE_EVERY == 0:
            async with self._database.tenant(asked.tenant_id) as tx:
                await tx.run(_PURGE)
        found = await self._claim((asked, command_id))
        if found is None:
            raise TryAgain("the same request has just been given up", RETRY_AFTER_S)
        return CommandId(found.claimed) if found.claimed is not None else _answer(asked, found)

    async def settle(self, asked: Asked, command_id: CommandId, answer: Answer) -> None:
        """Keep an answer that says something was done, forget a refusal, let go of what nothing is known of."""
        try:
            await self._settle((asked, command_id, answer))
        except Unavailable:
            _log.warning("answer_not_kept")  # the lease ends; a repeated request finds its effects done

    async def _claim_all(self, claims: list[tuple[Asked, CommandId]]) -> list[_Found | None]:
        params = _columns([asked for asked, _ in claims]) | {
            "requests": [asked.request for asked, _ in claims],
            "commands": [command_id for _, command_id in claims],
        }
        found = {each.place: each for each in await self._database.call(_CLAIM, params, _Found)}
        return [found.get(place) for place in range(1, len(claims) + 1)]

    async def _settle_all(self, answered: list[tuple[Asked, CommandId, Answer]]) -> list[None]:
        answers = [answer for _, _, answer in answered]
        params = _columns([asked for asked, _, _ in answered]) | {
            "commands": [command_id for _, command_id, _ in answered],
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


def _answer(asked: Asked, found: _Found) -> Answer:
    if found.request != asked.request:
        raise KeyReused("this idempotency key was used for another request")
    if found.status is None:
        raise TryAgain("the same request is being carried out", RETRY_AFTER_S)
    if found.body is None:
        raise AnswerNotKept("the request was carried out; its answer was too large to keep")
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
