"""Who waits for which answer. All come to one subscription and are told apart by the last token of their subject.

Whoever waits as long as everybody does needs no timer of its own: what was asked first is due first.
"""

import asyncio
from itertools import count
from typing import NamedTuple

from fairlead.adapters.nats_messages import Reply

Answer = asyncio.Future[Reply | None]


class _Asked(NamedTuple):
    """`give_up_at` None: it has a timer of its own."""

    answer: Answer
    gathered: list[Reply] | None
    give_up_at: float | None


class Answers:
    """`within_s` is how long is waited where nothing else is said."""

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self._prefix = b""
        self._tokens = count(1)
        self._waiting: dict[bytes, _Asked] = {}  # in the order they were asked
        self._looking: asyncio.TimerHandle | None = None

    def come_to(self, prefix: str) -> None:
        self._prefix = prefix.encode()

    def expect(self, answer: Answer, gathered: list[Reply] | None, within_s: float | None) -> bytes:
        """The subject that it is to be sent to. `answer` is given what comes, and None when the time is up; into
        `gathered`, where there is one, goes what comes before a status."""
        token, loop = b"%d" % next(self._tokens), asyncio.get_running_loop()
        if within_s is not None:
            self._waiting[token] = _Asked(answer, gathered, None)
            loop.call_later(within_s, self._settle, token, None)
            return self._prefix + token
        self._waiting[token] = _Asked(answer, gathered, loop.time() + self._within_s)
        if self._looking is None:
            self._looking = loop.call_later(self._within_s, self._give_up)
        return self._prefix + token

    def take(self, reply: Reply | None) -> None:
        """None: nothing will come any more of what was asked until now."""
        if reply is None:
            for token in list(self._waiting):
                self._settle(token, None)
            return
        token = reply.subject[len(self._prefix) :]
        if (asked := self._waiting.get(token)) is None:
            return
        if asked.gathered is not None and not reply.status:
            asked.gathered.append(reply)
        else:
            self._settle(token, reply)

    def close(self) -> None:
        self.take(None)
        if self._looking is not None:
            self._looking.cancel()

    def _settle(self, token: bytes, reply: Reply | None) -> None:
        asked = self._waiting.pop(token, None)
        if asked is not None and not asked.answer.done():  # whoever asked may have gone away
            asked.answer.set_result(reply)

    def _give_up(self) -> None:
        """Those who have waited long enough; the next are looked at when the first of them has."""
        loop, self._looking = asyncio.get_running_loop(), None
        for token, asked in list(self._waiting.items()):
            if asked.give_up_at is None:
                continue
            if asked.give_up_at > loop.time():
                self._looking = loop.call_at(asked.give_up_at, self._give_up)
                return
            self._settle(token, None)
