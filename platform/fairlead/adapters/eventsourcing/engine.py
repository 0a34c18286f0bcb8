"""What the log needs from JetStream, as coroutines: store commits under expectations, read messages back."""

from base64 import b64decode
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from eventsourcing.persistence import OperationalError
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import MaxPayloadError, NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import Header, RetentionPolicy, StorageType, StreamConfig

from fairlead.adapters.eventsourcing.encoding import Stored, decode_commit

REQUEST_TIMEOUT_S = 5
MAX_BATCH_MESSAGES = 1000  # the engine's own limit for one atomic publish
HEADERS_BYTES = 512  # more than ours take; the engine counts them with the payload
WRONG_LAST_SEQUENCE = (10071, 10164)
MESSAGE_NOT_FOUND = 10037


class StreamPlace(Struct, frozen=True, kw_only=True):
    """A stream and the subjects it holds: everything under `prefix`."""

    name: str
    prefix: str
    replicas: int = 1
    max_messages: int = -1

    @property
    def all_subjects(self) -> str:
        return f"{self.prefix}.>"


class Outgoing(Struct, frozen=True):
    """A message to store. `after` is the expected last sequence of its subject, None where an earlier one says it."""

    subject: str
    data: bytes
    after: int | None


class Page(NamedTuple):
    commits: list[Stored]
    more: bool  # the engine stopped at a limit of its own or ours


class Engine:
    """One client shared by all logs of a process. Lives on the loop of its connection."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.jetstream = client.jetstream(timeout=REQUEST_TIMEOUT_S)

    async def create_stream(self, place: StreamPlace) -> None:
        """Does nothing when it is there already; raises BadRequestError when that one is configured otherwise."""
        await self.jetstream.add_stream(
            StreamConfig(
                name=place.name,
                subjects=[place.all_subjects],
                storage=StorageType.FILE,
                retention=RetentionPolicy.LIMITS,
                num_replicas=place.replicas,
                max_msgs=place.max_messages,
                allow_direct=True,
                allow_atomic=True,
                deny_delete=True,
                deny_purge=True,
            )
        )

    async def store(self, commit_id: str, after: int, messages: Sequence[Outgoing]) -> int | None:
        """Store all or none, if the stream's last message is at `after`. Answers the last sequence.

        None: nothing was stored because the stream has moved, or the answer was lost and nobody knows.
        """
        if any(len(message.data) + HEADERS_BYTES > self.client.max_payload for message in messages):
            raise MaxPayloadError
        headers = [_expectations(message) for message in messages]
        headers[0][Header.EXPECTED_LAST_SEQUENCE] = str(after)
        if len(messages) > 1:
            for place, header in enumerate(headers, start=1):
                header |= {Header.BATCH_ID: commit_id, Header.BATCH_SEQUENCE: str(place)}
            headers[-1][Header.BATCH_COMMIT] = "1"
        for message, header in zip(messages[:-1], headers[:-1], strict=True):
            await self.client.publish(message.subject, message.data, headers=header)
        try:
            answer = await self.client.request(
                messages[-1].subject, messages[-1].data, timeout=REQUEST_TIMEOUT_S, headers=headers[-1]
            )
        except NatsTimeoutError:
            return None
        return _stored_at(answer.data)

    async def message(self, place: StreamPlace, **which: Any) -> Stored | None:
        """One message, as the leader of the stream knows it: by `seq` or the `last_by_subj`."""
        subject = f"$JS.API.STREAM.MSG.GET.{place.name}"
        answer = await self.client.request(subject, msgspec.json.encode(which), timeout=REQUEST_TIMEOUT_S)
        found = msgspec.json.decode(answer.data)
        if "error" not in found:
            message = found["message"]
            return decode_commit(message["seq"], message["subject"], b64decode(message.get("data", "")))
        if found["error"].get("err_code") == MESSAGE_NOT_FOUND:
            return None
        raise OperationalError(f"the engine refuses to read: {found['error'].get('description')}")

    async def messages(self, place: StreamPlace, **which: Any) -> Page:
        """Many messages in one round trip: the engine's batched direct get."""
        inbox = self.client.new_inbox()
        replies = await self.client.subscribe(inbox)  # not a round trip: it travels with the request
        try:
            request = msgspec.json.encode(which)
            await self.client.publish(f"$JS.API.DIRECT.GET.{place.name}", request, reply=inbox)
            return await _page(replies)
        finally:
            await replies.unsubscribe()


async def _page(replies: Subscription) -> Page:
    commits: list[Stored] = []
    while True:
        reply = await replies.next_msg(timeout=REQUEST_TIMEOUT_S)
        headers = reply.headers or {}
        match headers.get(Header.STATUS):
            case None:
                commits.append(decode_commit(int(headers["Nats-Sequence"]), headers["Nats-Subject"], reply.data))
            case "204":  # the end of the batch
                return Page(commits, more=headers.get("Nats-Num-Pending", "0") != "0")
            case "404":  # nothing there
                return Page(commits, more=False)
            case "503":
                raise NoRespondersError
            case status:
                raise OperationalError(f"the engine refuses to read: {status} {headers.get(Header.DESCRIPTION)}")


def _expectations(message: Outgoing) -> dict[str, str]:
    return {} if message.after is None else {"Nats-Expected-Last-Subject-Sequence": str(message.after)}


def _stored_at(answer: bytes) -> int | None:
    ack = msgspec.json.decode(answer)
    error = ack.get("error")
    if error is None:
        return int(ack["seq"])
    if error.get("err_code") in WRONG_LAST_SEQUENCE:
        return None
    raise OperationalError(f"the engine refuses the commit: {error.get('description')}")
