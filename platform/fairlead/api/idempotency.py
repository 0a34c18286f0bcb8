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

# A row that has run out is as good as none; so is one whose holder's lease has, except that its command id stays. The
# lease is a little longer than a request waits for an engine. Should two carry out the same, they do it under one id.
_CLAIM = """
INSERT INTO idempotency AS i (tenant_id, principal_id, key_sha256, request_sha256, command_id, lease_until)
VALUES (%(tenant)s, %(principal)s, %(key)s, %(request)s, %(command_id)s, now() + interval '12 seconds')
    ON CONFLICT (tenant_id, principal_id, key_sha256) DO UPDATE
   SET request_sha256 = excluded.request_sha256,
       command_id = CASE WHEN i.created_at > now() - interval '24 hours' THEN i.command_id ELSE excluded.command_id END,
       created_at = CASE WHEN i.created_at > now() - interval '24 hours' THEN i.created_at ELSE now() END,
       lease_until = excluded.lease_until, status = NULL, headers = NULL, body = NULL
 WHERE i.created_at <= now() - interval '24 hours'
    OR (i.status IS NULL AND i.lease_until <= now() AND i.request_sha256 = excluded.request_sha256)
RETURNING command_id
"""
_FIND = """
SELECT request_sha256, status, headers, body
  FROM idempotency
 WHERE principal_id = %(principal)s AND key_sha256 = %(key)s
"""
_KEEP = """
UPDATE idempotency SET status = %(status)s, headers = %(headers)s, body = %(body)s
 WHERE principal_id = %(principal)s AND key_sha256 = %(key)s AND command_id = %(command_id)s AND status IS NULL
"""
_FREE = """
UPDATE idempotency SET lease_until = now()
 WHERE principal_id = %(principal)s AND key_sha256 = %(key)s AND command_id = %(command_id)s AND status IS NULL
"""
_FORGET = """
DELETE FROM idempotency
 WHERE principal_id = %(principal)s AND key_sha256 = %(key)s AND command_id = %(command_id)s AND status IS NULL
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

    def params(self) -> dict[str, Any]:
        return {"tenant": self.tenant_id, "principal": self.principal_id, "key": self.key, "request": self.request}


class Answer(Struct, frozen=True, kw_only=True):
    status: int
    headers: dict[str, str]
    body: bytes | None


class _Claimed(Struct, frozen=True):
    command_id: str


class _Found(Struct, frozen=True):
    request_sha256: bytes
    status: int | None
    headers: dict[str, str] | None
    body: bytes | None


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
        self._claims = 0

    async def claim(self, asked: Asked, command_id: CommandId) -> CommandId | Answer:
        """The command id to work under, which may be that of somebody who died; or the answer there is already.

        Raises KeyReused, TryAgain while somebody works on it, AnswerNotKept, Unavailable.
        """
        self._claims += 1
        async with self._database.tenant(asked.tenant_id) as tx:
            claimed = await tx.row(_CLAIM, asked.params() | {"command_id": command_id}, _Claimed)
            if self._claims % PURGE_EVERY == 0:
                await tx.run(_PURGE)
            found = None if claimed else await tx.row(_FIND, asked.params(), _Found)
        if claimed is not None:
            return CommandId(claimed.command_id)
        if found is None:
            raise TryAgain("the same request has just been given up", RETRY_AFTER_S)
        return _answer(asked, found)

    async def settle(self, asked: Asked, command_id: CommandId, answer: Answer) -> None:
        """Keep an answer that says something was done, forget a refusal, let go of what nothing is known of."""
        params = asked.params() | {"command_id": command_id}
        try:
            async with self._database.tenant(asked.tenant_id) as tx:
                if answer.status < 400:
                    headers = msgspec.json.encode(answer.headers).decode()
                    kept = {"status": answer.status, "headers": headers, "body": answer.body}
                    await tx.run(_KEEP, params | kept)
                else:
                    await tx.run(_FREE if answer.status >= 500 else _FORGET, params)
        except Unavailable:
            _log.warning("answer_not_kept")  # the lease ends; a repeated request finds its effects done


def _answer(asked: Asked, found: _Found) -> Answer:
    if found.request_sha256 != asked.request:
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
