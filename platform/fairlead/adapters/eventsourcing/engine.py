"""What the log needs from JetStream: store messages under expectations, all or none, and read them back."""

from base64 import b64decode
from collections.abc import Sequence
from itertools import count
from typing import Any, NamedTuple

import msgspec
from eventsourcing.persistence import DataError, OperationalError
from msgspec import Struct

from fairlead.adapters.eventsourcing.encoding import Stored, decode_commit
from fairlead.adapters.nats_connection import WRONG_LAST_SEQUENCE, ApiRefused, NatsConnection, NoAnswer, Reply

MAX_BATCH_MESSAGES = 1000  # the engine's own limit for one atomic publish
MAX_MESSAGE_BYTES = 1_000_000  # with headers it fits the engine's default of 1 MiB
_MESSAGE_NOT_FOUND = 10037
_BATCH_INCOMPLETE = 10176  # its beginning was lost on the way
_END_OF_BATCH, _NOTHING_THERE = 204, 404


class StreamPlace(Struct, frozen=True, kw_only=True):
    """A stream and the subjects it holds: everything under `prefix`."""

    name: str
    prefix: str
    replicas: int = 1
    max_messages: int = -1

    @property
    def all_subjects(self) -> str:
        return f"{self.prefix}.>"


class Outgoing(NamedTuple):
    """A message to store. `after` is the expected last sequence of its subject, None where an earlier one says it."""

    subject: str
    data: bytes
    after: int | None


class Page(NamedTuple):
    commits: list[Stored]
    more: bool  # the engine stopped at a limit of its own or ours


class Engine:
    """One connection shared by all logs of a process. Lives on the connection's loop; raises what that raises."""

    def __init__(self, connection: NatsConnection) -> None:
        self.connection = connection
        self._attempts = count(1)

    async def create_stream(self, place: StreamPlace) -> None:
        """Does nothing when it is there already, raises ApiRefused when that one is configured otherwise."""
        configuration = {
            "name": place.name,
            "subjects": [place.all_subjects],
            "storage": "file",
            "num_replicas": place.replicas,
            "max_msgs": place.max_messages,
            "allow_direct": True,
            "allow_atomic": True,
            "deny_delete": True,
            "deny_purge": True,
        }
        await self.connection.patiently(lambda: self.connection.api(f"STREAM.CREATE.{place.name}", configuration))

    async def store(self, commit_id: str, after: int, messages: Sequence[Outgoing]) -> bool:
        """Store the messages right behind sequence `after`, if that is where the stream ends.

        False: nothing was stored because the stream has moved, or the answer was lost and nobody knows.
        """
        if any(len(message.data) > MAX_MESSAGE_BYTES for message in messages):
            raise DataError(f"the events of one aggregate in one commit may take {MAX_MESSAGE_BYTES} bytes")
        # A batch id of its own for each attempt: the engine may still hold the beginning of one that went astray.
        headers = _headers(f"{commit_id}.{next(self._attempts)}", after, messages)
        try:
            for message, header in zip(messages[:-1], headers[:-1], strict=True):
                self.connection.send(message.subject, message.data, header)
            await self.connection.publish(messages[-1].subject, messages[-1].data, headers[-1])
        except NoAnswer:
            return False
        except ApiRefused as refusal:
            if refusal.number in (*WRONG_LAST_SEQUENCE, _BATCH_INCOMPLETE):
                return False
            raise
        return True

    async def message(self, place: StreamPlace, **which: Any) -> Stored | None:
        """One message as the leader of the stream knows it: by `seq` or `last_by_subj`."""
        try:
            answer = await self.connection.patiently(lambda: self.connection.api(f"STREAM.MSG.GET.{place.name}", which))
        except ApiRefused as refusal:
            if refusal.number == _MESSAGE_NOT_FOUND:
                return None
            raise
        message = answer["message"]
        return decode_commit(message["seq"], message["subject"], b64decode(message.get("data", "")))

    async def messages(self, place: StreamPlace, **which: Any) -> Page:
        """Many messages in one round trip: the engine's batched direct get."""
        question = msgspec.json.encode(which)
        replies, end = await self.connection.patiently(
            lambda: self.connection.request_many(f"$JS.API.DIRECT.GET.{place.name}", question)
        )
        if end.status not in (_END_OF_BATCH, _NOTHING_THERE):
            raise OperationalError(f"the engine refuses to read: {end.status}")
        return Page(list(map(_stored, replies)), more=end.header("Nats-Num-Pending") not in (None, "0"))


def _headers(batch_id: str, after: int, messages: Sequence[Outgoing]) -> list[bytes]:
    """The stream's end is expected once; an atomic publish checks everything as of before its first message."""
    all_headers: list[bytes] = []
    for place, message in enumerate(messages, start=1):
        lines = [f"Nats-Expected-Last-Sequence: {after}"] if place == 1 else []
        if message.after is not None:
            lines.append(f"Nats-Expected-Last-Subject-Sequence: {message.after}")
        if len(messages) > 1:
            lines += [f"Nats-Batch-Id: {batch_id}", f"Nats-Batch-Sequence: {place}"]
        if place == len(messages) > 1:
            lines.append("Nats-Batch-Commit: 1")
        all_headers.append("\r\n".join(["NATS/1.0", *lines, "", ""]).encode())
    return all_headers


def _stored(reply: Reply) -> Stored:
    sequence, subject = reply.header("Nats-Sequence"), reply.header("Nats-Subject")
    assert sequence, "a direct get names the sequence"
    assert subject, "and the subject"
    return decode_commit(int(sequence), subject, reply.data)
