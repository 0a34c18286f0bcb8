"""Results on JetStream, in memory: a message for each slot of a tenant, and one for each of its connectors' epochs.

An epoch is a text that is drawn anew after each write. It is asked of the stream's leader, for a replica may be behind;
a result that does not bear it is none, so nobody has to find and delete what a write has made old.
"""

from base64 import b64decode
from contextlib import suppress
from secrets import token_hex

import msgspec
import structlog
from msgspec import Struct

from fairlead.adapters.memory_results import found
from fairlead.adapters.nats_connection import ApiRefused, NatsConnection
from fairlead.adapters.nats_messages import NOTHING_THERE, NoAnswer, Refusal, sound
from fairlead.adapters.nats_streams import RESULTS, ensure_results
from fairlead.domain.errors import Unavailable
from fairlead.domain.results import AnyKey, Found, KeptResult, entry
from fairlead.domain.subjects import result, results_epoch, results_of

FIND_S = 0.25  # a call is not held up for longer by a cache that does not answer
_ONLY_IF_FIRST = b"NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: 0\r\n\r\n"
_log = structlog.get_logger()


class _Message(Struct, frozen=True):
    data: str = ""


class _Answer(Struct):
    message: _Message = _Message()
    error: Refusal | None = None


_answer = msgspec.json.Decoder(_Answer).decode


class NatsResults:
    def __init__(self, connection: NatsConnection, replicas: int = 1) -> None:
        self._connection = connection
        self._replicas = replicas
        connection.on_reconnect.append(self._prepare)

    async def find(self, key: AnyKey) -> Found:
        asked = self._connection.ask(
            f"$JS.API.DIRECT.GET.{RESULTS}.{result(key.tenant_id, key.slot)}", b"", timeout_s=FIND_S
        )
        try:
            epoch = await self._epoch(results_epoch(key.tenant_id, key.connector))
            return found(key, epoch, sound(await asked).data)
        except (Unavailable, ApiRefused) as unanswered:
            _log.debug("results_not_found", reason=str(unanswered))
            return Found()

    async def _epoch(self, subject: str) -> str:
        """The first is drawn by whoever looks first; where two do, one of them keeps in vain."""
        reply = await self._connection.request(
            f"$JS.API.STREAM.MSG.GET.{RESULTS}", msgspec.json.encode({"last_by_subj": subject}), timeout_s=FIND_S
        )
        answer = _answer(reply.data)
        if answer.error is None:
            return b64decode(answer.message.data).decode(errors="replace")
        if answer.error.err_code != NOTHING_THERE:
            raise answer.error.raised()
        epoch = token_hex(16)
        self._connection.send(subject, epoch.encode(), _ONLY_IF_FIRST)
        return epoch

    def keep(self, key: AnyKey, epoch: str, kept: KeptResult) -> None:
        body = entry(key, epoch, kept) if epoch else None
        if body is not None:
            with suppress(NoAnswer):
                self._connection.send(result(key.tenant_id, key.slot), body)

    async def forget(self, tenant_id: str, connector: str, surely: bool) -> None:
        subject, epoch = results_epoch(tenant_id, connector), token_hex(16).encode()
        try:
            if surely:
                await self._connection.publish(subject, epoch, b"", timeout_s=FIND_S)
            else:
                self._connection.send(subject, epoch)
        except (Unavailable, ApiRefused):
            await self._forget_patiently(subject, epoch)

    async def drop(self, tenant_id: str) -> None:
        purge = {"filter": results_of(tenant_id)}
        await self._connection.patiently(lambda: self._connection.api(f"STREAM.PURGE.{RESULTS}", purge))

    async def _forget_patiently(self, subject: str, epoch: bytes) -> None:
        """The stream may be gone with a restart. An engine that answers nothing cannot be told what was written either,
        so the run does not go on before it does."""

        async def again() -> None:
            await self._prepare()
            await self._connection.publish(subject, epoch, b"")

        try:
            await self._connection.patiently(again)
        except (Unavailable, ApiRefused) as untold:
            _log.error("results_not_forgotten", subject=subject, reason=str(untold))

    async def _prepare(self) -> None:
        await ensure_results(self._connection, self._replicas)
