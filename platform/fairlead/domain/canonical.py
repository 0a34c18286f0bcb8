"""One form of bytes for one JSON value, to hash and compare: RFC 8785.

An integer beyond 2^53 - 1, which RFC 8785 has no exact form for, stands as text, as RFC 7493 recommends.
"""

import hashlib
from typing import Any

import rfc8785

_EXACT = 2**53 - 1


def canonical(value: Any) -> bytes:
    """Raises ValueError for what is not JSON."""
    try:
        return rfc8785.dumps(value)
    except rfc8785.IntegerDomainError:
        return rfc8785.dumps(_with_long_integers_as_text(value))


def canonical_sha256(value: Any) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()


def _with_long_integers_as_text(value: Any) -> Any:
    match value:
        case bool():
            return value
        case int():
            return value if abs(value) <= _EXACT else str(value)
        case dict():
            return {key: _with_long_integers_as_text(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_with_long_integers_as_text(inner) for inner in value]
    return value
