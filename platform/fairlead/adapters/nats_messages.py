"""What nats-server says: messages, statuses, refusals. No answer at all is NoAnswer, Unavailable to the program."""

import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import msgspec
from msgspec import Struct

from fairlead.domain.errors import FairleadError, Unavailable

ENGINE = "the event log"
END_OF_BATCH, NOT_FOUND, NO_RESPONDERS = 204, 404, 503
NO_STREAM = 10059  # a number of a refusal
NOTHING_THERE = 10037
WRONG_LAST_IN_FLIGHT = 10164  # something for this subject is being stored right now
WRONG_LAST_SEQUENCE = (10071, WRONG_LAST_IN_FLIGHT)
_LAST_SEQUENCE = re.compile(r"wrong last sequence: (\d+)")
_PASSING = (10047, 10158)  # no room on the disk; another copy of this message is being stored right now


class NoAnswer(Unavailable):
    """The engine was not reached or did not answer in time. What was asked may have happened."""

    def __init__(self) -> None:
        super().__init__(ENGINE)


class ApiRefused(FairleadError):
    """The engine understood and said no. `number` is its own code of the reason."""

    code = "engine_refused"

    def __init__(self, number: int, message: str) -> None:
        super().__init__(f"{ENGINE} refused: {message} ({number})")
        self.number = number


def last_sequence_in(refusal: ApiRefused) -> int:
    """Where a subject really ends, as the engine says when it was expected to end elsewhere; 0 when it does not say."""
    found = _LAST_SEQUENCE.search(str(refusal))
    return int(found[1]) if found else 0


class Refusal(Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""

    def raised(self) -> FairleadError:
        passing = self.code == NO_RESPONDERS or self.err_code in _PASSING
        return NoAnswer() if passing else ApiRefused(self.err_code, self.description)


class Stored(Struct):
    """The engine's word that a message is durable. `duplicate`: it was before, under the same message id."""

    seq: int = 0
    duplicate: bool = False
    error: Refusal | None = None


stored_in = msgspec.json.Decoder(Stored).decode


class Reply(NamedTuple):
    """One message as it came. `reply_to` is where an acknowledgement goes."""

    subject: bytes
    reply_to: bytes
    headers: bytes
    data: bytes

    @property
    def status(self) -> int:
        """Status of a message that only the engine itself sends, else 0."""
        return int(self.headers[9:12]) if self.headers[8:9] == b" " else 0

    def header(self, name: str) -> str | None:
        return header_in(self.headers, name)


def header_in(headers: bytes, name: str) -> str | None:
    # The engine's own headers come after those stored with a message, so the last of a name is the one to trust.
    marker = _marker(name)
    start = headers.rfind(marker)
    if start < 0:
        return None
    start += len(marker)
    return headers[start : headers.index(b"\r\n", start)].decode().strip()


@cache
def _marker(name: str) -> bytes:
    return b"\r\n%b:" % name.encode()


Sink = Callable[[Reply | None], None]  # None: the connection broke, nothing more will come


def sound(reply: Reply | None) -> Reply:
    """The reply, when it is an answer to the question."""
    if reply is None or reply.status == NO_RESPONDERS:
        raise NoAnswer
    if reply.status not in (0, END_OF_BATCH, NOT_FOUND):
        raise ApiRefused(reply.status, reply.headers.decode("ascii", "replace").strip())
    return reply
