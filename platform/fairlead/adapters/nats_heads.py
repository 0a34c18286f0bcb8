"""Where streams of ours end, asked for by many at once. Questions of the same turn of the loop leave together, and the
same question only once: tools that are called at the same moment for one tenant ask for the tenant's head once."""

import asyncio

from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_messages import Reply, sound


class Heads:
    def __init__(self, connection: NatsConnection, stream: str) -> None:
        self._connection = connection
        self._prefix = f"$JS.API.DIRECT.GET.{stream}."
        self._this_turn: dict[str, asyncio.Future[Reply | None]] = {}

    async def of(self, subjects: list[str]) -> list[int]:
        """Sequence of the last message of each, 0 where there is none. Raises NoAnswer."""
        answers = [self._asked(subject) for subject in subjects]
        return [int(sound(await answer).header("Nats-Sequence") or 0) for answer in answers]

    def _asked(self, subject: str) -> "asyncio.Future[Reply | None]":
        # By subject and not as one question about several: the engine finds the last of one subject at once, but for a
        # set it walks back through its files until it has found all.
        if not self._this_turn:
            asyncio.get_running_loop().call_soon(self._this_turn.clear)
        if (answer := self._this_turn.get(subject)) is None:
            answer = self._this_turn[subject] = self._connection.ask(self._prefix + subject, b"")
        return answer
