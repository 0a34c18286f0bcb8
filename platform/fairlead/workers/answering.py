"""What connector code answers, raises or leaves open becomes a classified result."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from fairlead_sdk.contract import Call, Effect, Idempotency, JsonSchema, Tool
from fairlead_sdk.errors import BadArguments, NeedsReconnect, OutcomeUnknown, Refused, ToolError, TryLater

from fairlead.domain.errors import Problem
from fairlead.domain.runs.commands import CallErred, CallSucceeded
from fairlead.domain.runs.events import ErrorClass
from fairlead.handling.tenant_tools import Fitted
from fairlead.workers.equipping import Braked, Equipped, NoAccess

MAX_OUTPUT_BYTES = 4 * 1024 * 1024
MAX_PREVIEW_BYTES = 1024 * 1024  # more is nothing that a person could look through
_encode = msgspec.json.Encoder().encode
Result = CallSucceeded | CallErred


_CLASS_OF: dict[type[ToolError], ErrorClass] = {
    TryLater: "transient",
    Refused: "permanent",
    BadArguments: "validation",
    NeedsReconnect: "permission",
}


class ConnectorBroke(Exception):
    """A connector raised what it may not raise. The text is the name of what it was: its message may hold a secret."""


def typed_arguments(fitted: Fitted, plain: Any) -> Any:
    """Raises BadArguments."""
    tool = fitted.tool
    if problems := fitted.checks.argument_problems(tool.name, plain):
        raise BadArguments(_listed(problems), "bad_arguments")
    if isinstance(tool.input, JsonSchema):
        return plain
    try:
        return msgspec.convert(plain, tool.input)
    except Exception as misfit:  # a connector's type may check itself, and raise anything
        raise BadArguments(f"the tool's type refuses them: {type(misfit).__name__}", "bad_arguments") from misfit


def typed_output(tool: Tool[Any, Any], plain: Any) -> Any:
    """Raises BadArguments."""
    if isinstance(tool.output, JsonSchema):
        return plain
    try:
        return msgspec.convert(plain, tool.output)
    except Exception as misfit:  # a connector's type may check itself, and raise anything
        message = f"what it gave does not fit the tool any more: {type(misfit).__name__}"
        raise BadArguments(message, "bad_output") from misfit


def checked(fitted: Fitted, output: object) -> Result:
    try:
        encoded = _encode(output)
        plain = msgspec.json.decode(encoded)
    except Exception as error:  # noqa: BLE001  # whatever it returned: not JSON, or too deep to be read
        return CallErred(error_class="validation", code="bad_output", message=f"not JSON: {type(error).__name__}")
    if len(encoded) > MAX_OUTPUT_BYTES:
        message = f"the output has {len(encoded)} bytes, the limit is {MAX_OUTPUT_BYTES}"
        return CallErred(error_class="validation", code="output_too_large", message=message)
    if problems := fitted.checks.output_problems(fitted.tool.name, plain):
        return CallErred(error_class="validation", code="bad_output", message=_listed(problems))
    return CallSucceeded(output=plain)


def repeatable(tool: Tool[Any, Any]) -> bool:
    """Whether making the same call again is harmless."""
    return tool.effect is Effect.READ or tool.idempotency is not Idempotency.NONE


async def answered(
    ask: Callable[[Any, Call], Awaitable[Any]], arguments: Any, given: Equipped, timeout_s: float
) -> Any:
    """What connector code answers. Raises ToolError, TimeoutError, and ConnectorBroke for whatever else it raises.

    Only an interrupt, and our own cancelling, pass through.

    A credential that the counterpart does not take is renewed or given up here. Raises Unavailable when neither can be.
    """
    call = given.call(timeout_s)
    try:
        async with asyncio.timeout(timeout_s):
            return await ask(arguments, call)
    except NeedsReconnect as refused:
        raise await given.refused(refused) from refused
    except (ToolError, TimeoutError, Braked):
        raise
    except asyncio.CancelledError as cancelled:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise ConnectorBroke("CancelledError") from cancelled
    except (Exception, SystemExit) as error:
        raise ConnectorBroke(type(error).__name__) from error


def showable(preview: Any) -> dict[str, Any]:
    """As plain JSON. Raises Refused for what nobody could look at."""
    try:
        encoded = _encode(preview)
        shown = msgspec.json.decode(encoded)
    except Exception as error:
        raise Refused(f"the preview is not JSON: {type(error).__name__}", "preview_unusable") from error
    if len(encoded) > MAX_PREVIEW_BYTES or not isinstance(shown, dict):
        raise Refused(f"the preview is no object of at most {MAX_PREVIEW_BYTES} bytes", "preview_unusable")
    return shown


def unanswered(tool: Tool[Any, Any], error_class: ErrorClass, message: str) -> CallErred:
    """No answer: try again where that is harmless, else nobody knows what happened."""
    if repeatable(tool):
        unclear = tool.effect is not Effect.READ
        return CallErred(error_class=error_class, code=error_class, message=message, unclear=unclear)
    return CallErred(error_class="unknown_outcome", code="outcome_unknown", message=message)


def classified(error: ToolError, tool: Tool[Any, Any]) -> CallErred:
    if isinstance(error, OutcomeUnknown):
        return unanswered(tool, "transient", str(error))
    retry_after_s = _pause(getattr(error, "retry_after_s", None))
    error_class: ErrorClass = "rate_limited" if retry_after_s is not None else _class_of(error)
    code = str(getattr(error, "code", type(error).__name__))  # a subclass may have forgotten its base
    missing = error if isinstance(error, NoAccess) else NoAccess("", "")
    return CallErred(
        error_class=error_class,
        code=code,
        message=str(error),
        retry_after_s=retry_after_s,
        connection_id=missing.connection_id,
        scope=missing.scope,
    )


def _class_of(error: ToolError) -> ErrorClass:
    return next((name for kind, name in _CLASS_OF.items() if isinstance(error, kind)), "permanent")


def _pause(asked: Any) -> float | None:
    """What the counterpart asked for; None when that is no time."""
    return float(asked) if isinstance(asked, int | float) and math.isfinite(asked) and asked >= 0 else None


def _listed(problems: list[Problem]) -> str:
    return "; ".join(f"{problem.path or '/'}: {problem.message}" for problem in problems[:5])
