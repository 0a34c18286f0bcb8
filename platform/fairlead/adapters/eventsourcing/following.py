"""Reading a log as it grows: an ordered consumer that is made anew after any gap."""

from fairlead.adapters.eventsourcing.encoding import Stored, decode_commit
from fairlead.adapters.eventsourcing.log import CommitLog
from fairlead.adapters.nats_connection import ApiRefused, NoAnswer
from fairlead.adapters.nats_pull import GAP, Puller

WINDOW = 200  # messages under way or waiting here; bounds memory to this many of the largest message
EXPIRES_S = 30.0
UNUSED_S = 300  # after which the engine drops a consumer nobody asks


class Follower:
    """Hands over every commit from sequence `start` on, once and in order. One caller at a time."""

    def __init__(self, log: CommitLog, start: int) -> None:
        self._connection = log.engine.connection
        self._stream = log.place.name
        self._next = start
        self._consumer = ""
        self._puller: Puller | None = None

    async def page(self) -> list[Stored]:
        """Waits until there is something new.

        Raises Unavailable when the engine stays away, ApiRefused when the stream is gone; may be called again.
        """
        while True:
            puller = self._puller or await self._consume()
            if page := self._taken(puller):
                return page
            if puller.trouble is not None:
                await self.close()
            else:
                self._refill(puller)
                await puller.wait()

    async def close(self) -> None:
        if self._puller is not None:
            puller, self._puller = self._puller, None
            await puller.close()
            try:
                await self._connection.api(f"CONSUMER.DELETE.{self._stream}.{self._consumer}", timeout_s=1.0)
            except (NoAnswer, ApiRefused):
                return  # it goes by itself when nobody asks it

    async def _consume(self) -> Puller:
        configuration = {
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._next,
            "ack_policy": "none",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": UNUSED_S * 10**9,
        }
        made = await self._connection.patiently(
            lambda: self._connection.api(
                f"CONSUMER.CREATE.{self._stream}", {"stream_name": self._stream, "config": configuration}
            )
        )
        self._consumer = made["name"]
        puller = Puller(self._connection, self._stream, self._consumer)
        await puller.open()
        self._puller = puller
        return puller

    def _refill(self, puller: Puller) -> None:
        if puller.asked <= WINDOW // 2:
            puller.ask(WINDOW - puller.asked, EXPIRES_S)

    def _taken(self, puller: Puller) -> list[Stored]:
        """What has arrived, up to a gap: sequences of this stream have none of their own."""
        page: list[Stored] = []
        while puller.messages:
            message = puller.messages.popleft()
            if message.sequence != self._next:
                puller.messages.clear()
                puller.fail(GAP)
                break
            page.append(decode_commit(message.sequence, message.subject, message.body))
            self._next += 1
        return page
