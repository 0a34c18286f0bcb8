"""Reading a log as it grows: an unacknowledged pull consumer, made anew whenever a message is missing."""

import msgspec
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy, Header
from nats.js.errors import NotFoundError

from fairlead.adapters.eventsourcing.encoding import Stored, decode_commit
from fairlead.adapters.eventsourcing.log import CommitLog

PULL_MESSAGES = 256
PULL_EXPIRES_S = 60
HEARTBEAT_S = 5
IDLE_CONSUMER_S = 300  # the engine removes a consumer that nobody pulls from
_NANOSECONDS = 1_000_000_000


class Follower:
    """Hands over every commit from `start` on, once and in order. One caller at a time."""

    def __init__(self, log: CommitLog, start: int) -> None:
        self._engine = log.engine
        self._place = log.place
        self._next = start
        self._inbox: Subscription | None = None
        self._consumer: ConsumerInfo | None = None
        self._owed = 0  # messages of the current pull that the engine has yet to send

    async def page(self) -> list[Stored]:
        """Waits until there is something new. Raises what the client raises when the engine stays away."""
        while True:
            inbox = self._inbox or await self._open()
            if self._owed == 0:
                await self._pull(inbox)
            try:
                messages = [await inbox.next_msg(timeout=2 * HEARTBEAT_S)]
                while inbox.pending_msgs:
                    messages.append(await inbox.next_msg())
            except NatsTimeoutError:  # not even a heartbeat
                await self.close()
                continue
            if page := await self._accepted(messages):
                return page

    async def close(self) -> None:
        inbox, consumer = self._inbox, self._consumer
        self._inbox = self._consumer = None
        self._owed = 0
        if inbox is not None:
            await inbox.unsubscribe()
        if consumer is not None:
            try:
                await self._engine.jetstream.delete_consumer(self._place.name, consumer.name)
            except (NotFoundError, NatsTimeoutError):
                return  # gone already, or the engine removes it when it has been idle

    async def _open(self) -> Subscription:
        self._consumer = await self._engine.jetstream.add_consumer(
            self._place.name,
            ConsumerConfig(
                ack_policy=AckPolicy.NONE,
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=self._next,
                inactive_threshold=IDLE_CONSUMER_S,
                mem_storage=True,
                num_replicas=1,
            ),
        )
        self._inbox = await self._engine.client.subscribe(self._engine.client.new_inbox())
        return self._inbox

    async def _pull(self, inbox: Subscription) -> None:
        assert self._consumer is not None
        request = {
            "batch": PULL_MESSAGES,
            "expires": PULL_EXPIRES_S * _NANOSECONDS,
            "idle_heartbeat": HEARTBEAT_S * _NANOSECONDS,
        }
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._place.name}.{self._consumer.name}"
        await self._engine.client.publish(subject, msgspec.json.encode(request), reply=inbox.subject)
        self._owed = PULL_MESSAGES

    async def _accepted(self, messages: list[Msg]) -> list[Stored]:
        page: list[Stored] = []
        for message in messages:
            match (message.headers or {}).get(Header.STATUS):
                case None if message.metadata.sequence.stream == self._next:
                    page.append(decode_commit(self._next, message.subject, message.data))
                    self._next += 1
                    self._owed -= 1
                case "100":  # a heartbeat
                    continue
                case "408":  # the pull has run its time
                    self._owed = 0
                case _:  # a gap after a broken connection, or the consumer is gone
                    await self.close()
                    break
        return page
