"""Plain member paths, `steps.a.output.total`: most data mappings are nothing else, and need no evaluation.

A path answers only where CEL is known to answer the same: each step is a key of an object, and what is found is a
text, a number, a truth value or null within the bounds. For everything else, and for every error, CEL is asked.
"""

import math
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from fairlead.adapters.cel_values import MAX_BYTES, MAX_INT, MIN_INT

NOT_PLAIN: Final = object()
MAX_PLAIN_CHARS = MAX_BYTES // 8  # six bytes at most for a character in JSON, and room for the path's names

_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_CELS_OWN = frozenset(  # names that mean something without being declared
    {"bool", "bytes", "cel", "double", "duration", "dyn", "google", "int", "list", "map", "null_type", "optional"}
    | {"optional_type", "string", "timestamp", "type", "uint"}
)


def path_of(source: str, variables: Collection[str]) -> tuple[str, ...] | None:
    """The names when a source that compiles is nothing but a path that begins with a variable."""
    if not _PATH.fullmatch(source):
        return None
    names = tuple(source.split("."))
    return names if names[0] in variables and names[0] not in _CELS_OWN else None


def at(path: tuple[str, ...], variables: Mapping[str, Any]) -> Any:
    """What is there, or NOT_PLAIN."""
    first, *rest = path
    if first not in variables:
        return NOT_PLAIN
    found = variables[first]
    for name in rest:
        if type(found) is not dict or name not in found:
            return NOT_PLAIN
        found = found[name]
    return found if _is_plain(found) else NOT_PLAIN


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind is str:
        return len(value) <= MAX_PLAIN_CHARS and bool(value.isascii())
    if kind is int:
        return bool(MIN_INT <= value <= MAX_INT)
    if kind is float:
        return math.isfinite(value)
    return kind is bool or value is None
