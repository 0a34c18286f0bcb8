"""What goes between the platform and the process of a connector: JSON after its length in four bytes.

The platform believes nothing of it. Every field has a bound, an unknown field is a fault, and an answer that carries
another ticket than that of the call under way ends the process.
"""

import asyncio
from typing import Annotated, Literal, TypeVar

import msgspec
from fairlead_sdk.description import ManifestDescription
from msgspec import Meta, Raw, Struct

HEAD_BYTES = 4
MAX_MESSAGE = 2_000
MAX_CODE = 64

Message = TypeVar("Message")
Ticket = Annotated[str, Meta(max_length=32)]
Part = Literal["run", "verify", "preview", "compensate", "run_many"]
ErrorName = Literal[
    "AnswerTooLarge", "BadArguments", "NeedsReconnect", "OutcomeUnknown", "Refused", "ToolError", "TryLater"
]


class Malformed(Exception):
    """What came is no frame: too long, not JSON, or not what the protocol knows."""


class ProcessLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of the whole life of a process; the kernel ends or refuses what goes past them."""

    cpu_s: int
    memory_bytes: int
    file_bytes: int
    open_files: int


class Begin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="begin"):
    """`seccomp` is the program of the filter that is loaded before the connector. Without a `module` there is none."""

    module: str | None
    folders: list[str]
    scratch: str | None
    limits: ProcessLimits
    output_bytes: int
    seccomp: bytes


class Describe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="describe"):
    ticket: Ticket


class Try(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="try"):
    """See for yourself that you are contained; only asked of a process without a connector."""

    ticket: Ticket
    forbidden_file: str
    forbidden_port: int
    forbidden_pid: int


class Account(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A connection without its credential, which never comes here."""

    connection_id: str
    config: dict[str, str]


class OneOfMany(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call of a batch; settings, connection and way out are those of all."""

    call_id: str
    attempt: int
    idempotency_key: str


class Ask(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ask"):
    """`output` is what a call gave that is now to be compensated. For `run_many` the arguments are a list, in the order
    of `many`."""

    ticket: Ticket
    part: Part
    tool: str
    arguments: Raw
    output: Raw
    call_id: str
    attempt: int
    idempotency_key: str
    settings: dict[str, str]
    connection: Account | None
    many: list[OneOfMany] = []


class Cancel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="cancel"):
    ticket: Ticket


ToChild = Begin | Describe | Try | Ask | Cancel


class Ready(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ready"):
    """The walls stand and the connector is loaded."""


class Broken(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="broken"):
    """There will be no call: the connector cannot be loaded, or a wall cannot be built."""

    ticket: Ticket = ""
    reason: Annotated[str, Meta(max_length=MAX_MESSAGE)]


class Tried(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="tried"):
    """Names of what was possible and must not be."""

    ticket: Ticket
    possible: list[Annotated[str, Meta(max_length=MAX_CODE)]]


class Described(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="described"):
    ticket: Ticket
    manifest: ManifestDescription


class Returned(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="returned"):
    ticket: Ticket
    output: Raw


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool's error by its name: the classes themselves do not travel."""

    error: ErrorName
    message: Annotated[str, Meta(max_length=MAX_MESSAGE)]
    code: Annotated[str, Meta(max_length=MAX_CODE)]
    retry_after_s: float | None = None


class Answered(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What became of one call of a batch. `Returned.output` is a list of these then."""

    output: Raw = Raw(b"null")
    fault: Fault | None = None
    broke: Annotated[str, Meta(max_length=MAX_CODE)] = ""


class Raised(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="raised"):
    ticket: Ticket
    fault: Fault


class Broke(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="broke"):
    """The tool raised what it may not raise; `what` is the name of that, for its text may hold a secret."""

    ticket: Ticket
    what: Annotated[str, Meta(max_length=MAX_CODE)]


class Stopped(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="stopped"):
    """The call was cancelled, and nothing of it goes on."""

    ticket: Ticket


FromChild = Ready | Broken | Described | Tried | Returned | Raised | Broke | Stopped


class HttpRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    ticket: Ticket
    number: int  # the answer bears it again
    method: Annotated[str, Meta(max_length=16)]
    url: Annotated[str, Meta(max_length=8_192)]
    headers: Annotated[dict[str, str], Meta(max_length=100)]
    body: bytes
    authorized: bool
    timeout_s: float | None
    max_bytes: int | None


class HttpAnswered(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="answered"):
    number: int
    status: int
    headers: dict[str, str]
    body: bytes


class HttpFailed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="failed"):
    number: int
    fault: Fault


HttpOutcome = HttpAnswered | HttpFailed

_encode = msgspec.json.Encoder().encode
NULL = Raw(b"null")


_answered = msgspec.json.Decoder(list[Answered]).decode


def answers_of(output: Raw, count: int) -> list[Answered]:
    """Of a batch. Raises Malformed."""
    try:
        answers = _answered(output)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not the answers to a batch: {type(error).__name__}") from error
    if len(answers) != count:
        raise Malformed(f"{len(answers)} answers to {count} calls")
    return answers


def packed(message: object) -> bytes:
    body = _encode(message)
    return len(body).to_bytes(HEAD_BYTES) + body


async def frame(reader: asyncio.StreamReader, decoder: msgspec.json.Decoder[Message], max_bytes: int) -> Message:
    """Raises Malformed, and IncompleteReadError at the end of the stream. Nothing is read past `max_bytes`."""
    size_bytes = int.from_bytes(await reader.readexactly(HEAD_BYTES))
    if size_bytes > max_bytes:
        raise Malformed(f"a frame of {size_bytes} bytes, where {max_bytes} is the most")
    try:
        return decoder.decode(await reader.readexactly(size_bytes))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not a message: {type(error).__name__}") from error
