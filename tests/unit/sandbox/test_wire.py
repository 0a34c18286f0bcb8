"""What goes between us and a connector's process is bounded, strict, and loses nothing that was promised."""

import asyncio
import math

import msgspec
import pytest
from fairlead_sandbox import wire as w
from fairlead_sandbox.faults import error_of, fault_of
from fairlead_sdk.contract import Manifest, Tool
from fairlead_sdk.description import ManifestDescription, ToolDescription
from fairlead_sdk.errors import (
    AnswerTooLarge,
    BadArguments,
    NeedsReconnect,
    OutcomeUnknown,
    Refused,
    ToolError,
    TryLater,
)

from fairlead.adapters.sandbox.faults import SandboxFault

FUNCTIONS = {"run", "verify", "preview", "compensate", "run_many"}
_ANSWER: msgspec.json.Decoder[w.FromChild] = msgspec.json.Decoder(w.FromChild)


async def read(data: bytes, max_bytes: int = 1_000) -> w.FromChild:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return await w.frame(reader, _ANSWER, max_bytes)


def headed(body: bytes) -> bytes:
    return len(body).to_bytes(w.HEAD_BYTES) + body


async def test_what_is_packed_is_read_again() -> None:
    answer = w.Returned(ticket="t", output=msgspec.Raw(b'{"a":1}'))
    assert await read(w.packed(answer)) == answer


@pytest.mark.parametrize(("more_bytes", "fits"), [(-1, False), (0, True), (1, True)])
async def test_a_frame_may_be_as_large_as_its_bound(more_bytes: int, fits: bool) -> None:
    frame = w.packed(w.Broke(ticket="t", what="ValueError"))
    reading = read(frame, len(frame) - w.HEAD_BYTES + more_bytes)
    if fits:
        await reading
    else:
        with pytest.raises(w.Malformed):
            await reading


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"type":"ask"}',
        b'{"type":"unheard_of"}',
        b'{"type":"broke","ticket":"t","what":"x","more":1}',
        b'{"type":"broke","ticket":"t"}',
        b'{"type":"broke","ticket":7,"what":"x"}',
        b'{"type":"broke","ticket":"t","what":"' + b"x" * (w.MAX_CODE + 1) + b'"}',
        b'{"type":"broke","ticket":"' + b"t" * 33 + b'","what":"x"}',
        b'{"type":"broke","ticket":"\xff","what":"x"}',
        b'{"type":"raised","ticket":"t","fault":{"error":"SystemExit","message":"","code":""}}',
        b'{"type":"raised","ticket":"t","fault":{"error":"Refused","message":"' + b"m" * 2_001 + b'","code":""}}',
        b'{"type":"returned","ticket":"t","output":' + b"[" * 400 + b"]" * 399 + b"}",
    ],
)
async def test_what_is_no_answer_is_malformed(body: bytes) -> None:
    with pytest.raises(w.Malformed):
        await read(headed(body))


@pytest.mark.parametrize("data", [b"", b"\0\0", b"\0\0\0\5ab"])
async def test_a_stream_that_ends_within_a_frame_is_an_end(data: bytes) -> None:
    with pytest.raises(asyncio.IncompleteReadError):
        await read(data)


class Throttled(TryLater):
    """Somebody's own."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TryLater("m", "c", retry_after_s=3.0), TryLater),
        (Throttled("m", "c"), TryLater),
        (AnswerTooLarge("m", "c"), AnswerTooLarge),
        (OutcomeUnknown("m", "c"), OutcomeUnknown),
        (SandboxFault("m", "c"), OutcomeUnknown),
        (NeedsReconnect("m", "c"), NeedsReconnect),
        (BadArguments("m", "c"), BadArguments),
        (Refused("m", "c"), Refused),
        (ToolError("m", "c"), ToolError),
    ],
)
def test_an_error_crosses_as_the_nearest_one_that_everybody_knows(error: ToolError, kind: type[ToolError]) -> None:
    crossed = error_of(fault_of(error))
    assert type(crossed) is kind
    assert (str(crossed), crossed.code) == ("m", "c")
    assert getattr(crossed, "retry_after_s", None) == getattr(error, "retry_after_s", None)


@pytest.mark.parametrize("pause", [math.nan, math.inf, -1.0, "soon"])
def test_a_pause_that_is_none_is_left_out(pause: float) -> None:
    assert fault_of(TryLater("m", "c", retry_after_s=pause)).retry_after_s is None


def test_all_that_a_tool_and_a_manifest_promise_crosses() -> None:
    """A new promise of the SDK has to be added to the description and to the sandboxed connector."""
    promises = set(Tool.__struct_fields__) - FUNCTIONS - {"input", "output"}
    assert promises <= set(ToolDescription.__struct_fields__)
    assert set(Manifest.__struct_fields__) == set(ManifestDescription.__struct_fields__)
