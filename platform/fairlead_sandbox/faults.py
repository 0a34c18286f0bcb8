"""A tool's errors as plain data, and back. Both sides use it, each for what the other one says."""

import math

from fairlead_sdk import errors
from fairlead_sdk.errors import ToolError

from fairlead_sandbox.wire import MAX_CODE, MAX_MESSAGE, ErrorName, Fault

_KINDS: dict[ErrorName, type[ToolError]] = {  # of two that fit, the narrower comes first
    "AnswerTooLarge": errors.AnswerTooLarge,
    "OutcomeUnknown": errors.OutcomeUnknown,
    "NeedsReconnect": errors.NeedsReconnect,
    "BadArguments": errors.BadArguments,
    "Refused": errors.Refused,
    "TryLater": errors.TryLater,
    "ToolError": errors.ToolError,
}


def fault_of(error: ToolError) -> Fault:
    """A class of the connector's own travels as the nearest one that everybody knows."""
    name = next(name for name, kind in _KINDS.items() if isinstance(error, kind))
    pause = getattr(error, "retry_after_s", None)
    return Fault(
        error=name,
        message=_plain(str(error))[:MAX_MESSAGE],
        code=_plain(str(getattr(error, "code", type(error).__name__)))[:MAX_CODE],
        retry_after_s=float(pause) if isinstance(pause, int | float) and math.isfinite(pause) and pause >= 0 else None,
    )


def error_of(fault: Fault) -> ToolError:
    kind = _KINDS[fault.error]
    if kind is errors.TryLater:
        return errors.TryLater(fault.message, fault.code, fault.retry_after_s)
    return kind(fault.message, fault.code)


def _plain(text: str) -> str:
    """Without what UTF-8 cannot say."""
    return text.encode(errors="replace").decode()
