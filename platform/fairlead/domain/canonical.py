"""One form of bytes for one JSON value, to hash and compare: RFC 8785.

An integer beyond 2^53 - 1, which RFC 8785 has no exact form for, stands as text, as RFC 7493 recommends.
"""

import hashlib
from typing import Any

import msgspec
import rfc8785

_EXACT = 2**53 - 1
_MOST_LEVELS = 32
_swift = msgspec.json.Encoder(order="sorted").encode


def canonical(value: Any) -> bytes:
    """Raises ValueError for what is not JSON."""
    if _is_simple(value, _MOST_LEVELS):
        return _swift(value)
    try:
        return rfc8785.dumps(value)
    except rfc8785.IntegerDomainError:
        return rfc8785.dumps(_with_long_integers_as_text(value))


def canonical_sha256(value: Any) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()


def _is_simple(value: Any, levels: int) -> bool:
    """Whether every encoder that sorts writes it alike: ASCII texts, exact integers, and nothing that is not JSON."""
    kind = type(value)
    if kind is str:
        return bool(value.isascii())
    if kind is dict:
        return levels > 0 and all(
            type(key) is str and key.isascii() and _is_simple(inner, levels - 1) for key, inner in value.items()
        )
    if kind is list:
        return levels > 0 and all(_is_simple(inner, levels - 1) for inner in value)
    if kind is int:
        return bool(-_EXACT <= value <= _EXACT)
    return kind is bool or value is None


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
