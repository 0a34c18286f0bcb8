"""Content that is sealed on the log and shown in the clear: held against what the ledger has committed to.

An export says beside an event what is sealed in it: by JSON pointer the commitment, an HMAC-SHA-256 of the value's
canonical JSON, and its key. Without a key the value was erased, or is masked for whoever exported it, and a mark stands
in its place: of what is shown, all can be checked.
"""

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping
from typing import Any

from fairlead_ledger.canonical import SEALED, NotCanonical, canonical

KEY_BYTES = 32
_WITHOUT = ("erased", "masked")
_PLACE = re.compile(r"[0-9]{1,18}")


class NotCommitted(ValueError):
    """What is shown is not what was committed to."""


def resealed(data: Any, seals: Any, *, plain: bool) -> Any:
    """The event as it is hashed: each value that is shown as its commitment. Raises NotCommitted."""
    if not isinstance(seals, Mapping):
        raise NotCommitted("what is sealed is not said as it must be")
    for pointer, seal in seals.items():
        data = _resealed(data, pointer.split("/")[1:], _checked(seal), plain=plain)
    return data


def _checked(seal: Any) -> tuple[str, bytes | None]:
    if not isinstance(seal, Mapping) or seal.keys() != {"commitment", "key"}:
        raise NotCommitted("a commitment and its key are needed")
    commitment, text = seal["commitment"], seal["key"]
    if not isinstance(commitment, str) or not isinstance(text, str | None):
        raise NotCommitted("a commitment and its key are texts")
    if text is None:
        return commitment, None
    try:
        key = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (NotBase64, ValueError) as misfit:
        raise NotCommitted("a key is not base64url") from misfit
    if len(key) != KEY_BYTES or urlsafe_b64encode(key).decode().rstrip("=") != text.rstrip("="):
        raise NotCommitted(f"a key has {KEY_BYTES} bytes, and is written in one way")
    return commitment, key


def _resealed(value: Any, path: list[str], seal: tuple[str, bytes | None], *, plain: bool) -> Any:
    if not path:
        return _commitment(value, *seal, plain=plain)
    name, rest = path[0], path[1:]
    if isinstance(value, dict) and name in value:
        return {**value, name: _resealed(value[name], rest, seal, plain=plain)}
    if isinstance(value, list) and _PLACE.fullmatch(name) and int(name) < len(value):
        place = int(name)
        return [*value[:place], _resealed(value[place], rest, seal, plain=plain), *value[place + 1 :]]
    raise NotCommitted("something is said to be sealed that is not there")


def _commitment(value: Any, commitment: str, key: bytes | None, *, plain: bool) -> dict[str, str]:
    if key is None:
        if value not in [mark for word in _WITHOUT for mark in ({f"${word}": commitment}, f"[{word}:{commitment}]")]:
            raise NotCommitted("something is shown where content was erased, or is masked")
    else:
        try:
            found = hmac.digest(key, canonical(value, plain=plain), "sha256").hex()
        except NotCanonical as misfit:
            raise NotCommitted(str(misfit)) from misfit
        if not hmac.compare_digest(found, commitment.encode("ascii", "replace").decode()):
            raise NotCommitted("a value is not what was committed to")
    return {SEALED: commitment}
