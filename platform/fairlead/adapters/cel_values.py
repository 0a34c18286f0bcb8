"""Values on their way into and out of CEL: only plain JSON of bounded size passes, in either direction.

CEL itself would compare NaN as false, take an integer over 63 bits for another type, and convert what it is given
without a limit.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from cel_expr_python import cel
from jsonschema_rs import Draft202012Validator

from fairlead.domain.expressions import ExpressionFailed

MAX_BYTES = 1_000_000
MAX_RESULT_VALUES = 20_000
MIN_INT, MAX_INT = -(2**63), 2**63 - 1

_encode = msgspec.json.Encoder().encode
_JSON = Draft202012Validator(  # NaN and the infinities are no "number"
    {
        "type": ["object", "array", "string", "number", "boolean", "null"],
        "additionalProperties": {"$ref": "#"},
        "items": {"$ref": "#"},
    }
)


def check(variables: Mapping[str, Any]) -> None:
    """Raises ExpressionFailed for values that may not go in. The engine itself refuses types that it does not know.

    Encoding is the cheapest way to a size, and a number that is not finite is written `null`: only then is it worth
    looking closer.
    """
    try:
        written = _encode(variables)
        finite = b"null" not in written or _JSON.is_valid(variables)
    except OverflowError:
        raise ExpressionFailed("an integer does not fit into 64 bits") from None
    except (TypeError, ValueError, RecursionError):
        raise ExpressionFailed("the variables are not JSON, or nest too deeply") from None
    if len(written) > MAX_BYTES:
        raise ExpressionFailed(f"the variables are larger than {MAX_BYTES} bytes")
    if not finite:
        raise ExpressionFailed("a number is not finite")
    if b"\\u0000" in written and _has_nul(variables):
        raise ExpressionFailed("a text has the character NUL, at which the engine would end it")


def _has_nul(value: Any) -> bool:
    """The value has just been encoded, so it is not deep."""
    match value:
        case str():
            return "\x00" in value
        case Mapping():
            return any(_has_nul(name) or _has_nul(each) for name, each in value.items())
        case list() | tuple():
            return any(map(_has_nul, value))
    return False


class Extent(NamedTuple):
    """How large values are, in the two measures that an expression can multiply."""

    longest_text: int
    widest: int  # elements of the largest list or map


def extent_of(variables: Mapping[str, Any]) -> Extent:
    """Level by level, so that depth costs no stack."""
    longest = widest = 0
    level: list[Any] = [*variables.values()]
    while level:
        below: list[Any] = []
        for value in level:
            if isinstance(value, str):
                longest = max(longest, len(value))
            elif isinstance(value, dict | list):
                widest = max(widest, len(value))
                below += value if isinstance(value, list) else [*value, *value.values()]
        level = below
    return Extent(longest, widest)


class Reading:
    """Turns one result into plain JSON, and stops when it grows beyond what may go in.

    A short expression can repeat a long value thousands of times without copying it; here the copies would be made.
    """

    def __init__(self) -> None:
        self._nodes = MAX_RESULT_VALUES
        self._chars = MAX_BYTES

    def plain(self, value: Any) -> Any:
        """`value` is what `cel.Value.value()` gives: one level of Python, with `cel.Value` inside containers."""
        match value:
            case None | bool():
                return value
            case str():
                self._spend(0, len(value))
                return value
            case int() | float():
                _check_number(value)
                return value
            case list():
                self._spend(len(value), 0)
                return [self.plain(item.value()) for item in value]
            case dict():
                self._spend(len(value), sum(map(_length_of_key, value)))
                return {key: self.plain(item.value()) for key, item in value.items()}
        return _text_of(value)

    def _spend(self, nodes: int, chars: int) -> None:
        self._nodes -= nodes
        self._chars -= chars
        if self._nodes < 0 or self._chars < 0:
            raise ExpressionFailed(f"the result holds more than {MAX_RESULT_VALUES} values or {MAX_BYTES} characters")


def _check_number(value: float) -> None:
    if not math.isfinite(value):
        raise ExpressionFailed("the result is not finite")
    if isinstance(value, int) and not MIN_INT <= value <= MAX_INT:
        raise ExpressionFailed("the result does not fit into 64 bits")


def _length_of_key(key: Any) -> int:
    if not isinstance(key, str):
        raise ExpressionFailed("the result has a key that is not text")
    return len(key)


def _text_of(value: Any) -> str:
    """Times and durations as CEL reads them back."""
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case timedelta():
            return f"{value.total_seconds():f}".rstrip("0").rstrip(".") + "s"
        case cel.Type():
            raise ExpressionFailed("the result is a type")
    raise ExpressionFailed("the result is bytes or another value that JSON does not have")
