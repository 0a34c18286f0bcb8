"""Several calls of one tool at once: what becomes of one says nothing of the others."""

from typing import Any

import msgspec
from fairlead_sdk.contract import Call, Tool
from fairlead_sdk.errors import AnswerTooLarge, BadArguments, ToolError
from msgspec.structs import replace

from fairlead_sandbox import wire as w
from fairlead_sandbox.arguments import typed
from fairlead_sandbox.faults import fault_of

_AROUND_BYTES = 64  # what an answer has around its output


class WrongNumber(Exception):
    """`run_many` did not answer every call."""


async def made(ask: w.Ask, tool: Tool[Any, Any], call: Call, output_bytes: int) -> list[w.Answered]:
    """Each has an equal part of `output_bytes`."""
    assert tool.run_many is not None, "the manifest said so"
    answers = [_typed(plain, tool.input) for plain in msgspec.json.decode(ask.arguments, type=list[msgspec.Raw])]
    good = [number for number, found in enumerate(answers) if not isinstance(found, BadArguments)]
    calls = [
        replace(call, call_id=each.call_id, attempt=each.attempt, idempotency_key=each.idempotency_key)
        for each in ask.many
    ]
    if good:
        given = await tool.run_many([answers[number] for number in good], [calls[number] for number in good])
        if len(given) != len(good):
            raise WrongNumber
        for number, answer in zip(good, given, strict=True):
            answers[number] = answer
    most_bytes = output_bytes // max(len(answers), 1) - _AROUND_BYTES
    return [_answered(answer, most_bytes) for answer in answers]


def _typed(plain: msgspec.Raw, shape: Any) -> Any:
    """Or what is wrong with it, which is that call's answer."""
    try:
        return typed(plain, shape)
    except BadArguments as misfit:
        return misfit


def _answered(answer: Any, most_bytes: int) -> w.Answered:
    try:
        if isinstance(answer, BaseException):
            raise answer
        output = msgspec.json.encode(answer)
        if len(output) > most_bytes:
            raise AnswerTooLarge(f"the output has {len(output)} bytes", "output_too_large")
        return w.Answered(output=msgspec.Raw(output))
    except ToolError as error:
        return w.Answered(fault=fault_of(error))
    except BaseException as error:  # noqa: BLE001  # a connector may answer with anything
        return w.Answered(broke=type(error).__name__[: w.MAX_CODE])
