"""JSON read strictly and written in one way: RFC 8785, so that a value has one hash.

Integers beyond 2^53 - 1, for which RFC 8785 has no form, are written with all their digits. What is sealed counts by
its commitment: see `SEALED`.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import rfc8785

# {"$sealed": "<64 hex digits>", "box": "<ciphertext>"} is hashed as {"$sealed": "<64 hex digits>"}: the box may go, and
# with it all that it held, and hashes and proofs stay as they are.
SEALED = "$sealed"
_SEALED_FIELDS = frozenset((SEALED, "box"))
_COMMITMENT = re.compile(r"[0-9a-f]{64}")
_EXACT = 2**53 - 1
_SAME_FROM = 1e-4  # broken numbers from here on are written alike by Python and by RFC 8785

Pairs = list[tuple[str, Any]]
_swift = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


class NotCanonical(ValueError):
    """It is no JSON of which everybody reads the same."""


class Parsed(NamedTuple):
    """`plain`: the standard library writes it as RFC 8785 says, which is six times as fast."""

    value: Any
    plain: bool


def parse(text: bytes | str, *, to_hash: bool = False) -> Parsed:
    """Raises NotCanonical: for what is no JSON, a key that comes twice, numbers that are none, half of a character.

    `to_hash`: a whole number is given as an integer however it was written, for both are hashed alike.
    """
    floats: list[str] = []

    def real(digits: str) -> float:
        number = _finite(float(digits), digits)
        if to_hash and number.is_integer() and abs(number) <= _EXACT:
            return int(number)
        if not (to_hash and _SAME_FROM <= abs(number) <= _EXACT):
            floats.append(digits)
        return number

    try:
        content = text.decode() if isinstance(text, bytes) else text
        value = json.JSONDecoder(object_pairs_hook=_each_once, parse_float=real, parse_constant=_no_number).decode(
            content
        )
    except (ValueError, RecursionError) as misfit:
        raise NotCanonical(str(misfit)) from misfit
    # Keys are in the order of UTF-16, which is that of characters up to U+FFFF; other floats are written otherwise.
    return Parsed(value, not floats and (content.isascii() or max(content) <= "\uffff") and not _names_halves(content))


def canonical(value: Any, *, plain: bool = False) -> bytes:
    """Raises NotCanonical for what is not JSON."""
    try:
        if plain:
            return _swift(value).encode()
        try:
            return rfc8785.dumps(value)
        except rfc8785.IntegerDomainError:
            return b"".join(_written(value))
    except (ValueError, TypeError, RecursionError) as misfit:
        raise NotCanonical(str(misfit)) from misfit


def content_sha256(value: Any, *, plain: bool = False) -> bytes:
    """Of what is hashed of a value: what is sealed in it stands as its commitment. Raises NotCanonical."""
    return hashlib.sha256(canonical(without_boxes(value), plain=plain)).digest()


def without_boxes(value: Any) -> Any:
    """The same value where nothing is sealed in it."""
    try:
        return _unboxed(value)
    except RecursionError as misfit:
        raise NotCanonical("it is nested too deeply") from misfit


def is_sealed(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() <= _SEALED_FIELDS
        and isinstance(value.get(SEALED), str)
        and _COMMITMENT.fullmatch(value[SEALED]) is not None
        and isinstance(value.get("box", ""), str)
    )


def _unboxed(value: Any) -> Any:
    if isinstance(value, dict):
        if SEALED in value and is_sealed(value):
            return {SEALED: value[SEALED]}
        return {key: _unboxed(inner) if isinstance(inner, dict | list) else inner for key, inner in value.items()}
    if isinstance(value, list):
        return [_unboxed(inner) if isinstance(inner, dict | list) else inner for inner in value]
    return value


def _written(value: Any) -> Iterable[bytes]:
    if isinstance(value, dict):
        for number, key in enumerate(sorted(value, key=lambda name: name.encode("utf-16-be"))):
            yield b"," if number else b"{"
            yield rfc8785.dumps(key) + b":"
            yield from _written(value[key])
        yield b"}" if value else b"{}"
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield b"," if number else b"["
            yield from _written(inner)
        yield b"]" if value else b"[]"
    elif isinstance(value, int) and abs(value) > _EXACT:
        yield b"%d" % value
    else:
        yield rfc8785.dumps(value)


def _each_once(pairs: Pairs) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotCanonical("a key comes twice")
    return found


def _finite(number: float, digits: str) -> float:
    if number in (float("inf"), float("-inf")):
        raise NotCanonical(f"{digits[:20]} is beyond what a number can be")
    return number


def _no_number(name: str) -> float:
    raise NotCanonical(f"{name} is no number")


def _names_halves(content: str) -> bool:
    """Whether escapes may stand for characters beyond U+FFFF, or for halves of them."""
    return "\\u" in content and ("\\ud" in content or "\\uD" in content)
