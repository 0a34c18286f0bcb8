"""Ledgers on JetStream: the last message of a subject, replaced on the condition that it is the one that was read.

Kept on disk, so that a restart of the engine forgets nobody's calls; each is gone a while after the last call.
"""

import time
from collections.abc import Callable
from datetime import datetime

import msgspec
from msgspec import Struct

from fairlead.adapters.nats_connection import WRONG_LAST_SEQUENCE, ApiRefused, NatsConnection
from fairlead.adapters.nats_streams import LIMITS, ensure_limits
from fairlead.adapters.throttle.ledgers import Page
from fairlead.domain.subjects import ledger

CLOCK_AGAIN_S = 30.0
_SHARP_S = 0.02  # a look at the engine's clock that took longer is worth little
_SOON_S = 1.0

_NO_STREAM = 10059


class _Info(Struct):
    ts: datetime


class NatsLedgers:
    """`steady` is a clock that goes one way; what it counts from does not matter. It is set by the engine's."""

    def __init__(
        self,
        connection: NatsConnection,
        replicas: int = 1,
        steady: Callable[[], float] = time.monotonic,
        clock_again_s: float = CLOCK_AGAIN_S,
    ) -> None:
        self._connection = connection
        self._replicas = replicas
        self._steady = steady
        self._clock_again_s = clock_again_s
        self._ahead_ms = 0.0  # of our steady clock, the engine's is
        self._look_again_s = float("-inf")

    async def now_ms(self) -> int:
        if self._steady() >= self._look_again_s:
            await self._look_at_clock()
        return int(self._steady() * 1_000 + self._ahead_ms)

    async def read(self, key: str) -> Page:
        reply = await self._connection.request(f"$JS.API.DIRECT.GET.{LIMITS}.{ledger(key)}", b"")
        return Page(int(reply.header("Nats-Sequence") or 0), reply.data)

    async def write(self, key: str, body: bytes, revision: int) -> int | None:
        headers = f"NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: {revision}\r\n\r\n".encode()
        try:
            return (await self._connection.publish(ledger(key), body, headers)).seq
        except ApiRefused as refusal:
            if refusal.number in WRONG_LAST_SEQUENCE:
                return None
            raise

    async def _look_at_clock(self) -> None:
        asked_s = self._steady()
        info = msgspec.convert(await self._info(), _Info)
        answered_s = self._steady()
        self._ahead_ms = (info.ts.timestamp() - (asked_s + answered_s) / 2) * 1_000
        is_sharp = answered_s - asked_s < _SHARP_S
        self._look_again_s = answered_s + (self._clock_again_s if is_sharp else _SOON_S)

    async def _info(self) -> object:
        try:
            return await self._connection.api(f"STREAM.INFO.{LIMITS}")
        except ApiRefused as refusal:
            if refusal.number != _NO_STREAM:
                raise
        await ensure_limits(self._connection, self._replicas)
        return await self._connection.api(f"STREAM.INFO.{LIMITS}")
