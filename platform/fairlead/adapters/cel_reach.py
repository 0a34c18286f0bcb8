"""Which parts of its variables an expression can reach, so that only those are converted and bounded.

Converting costs a third of a microsecond per value and a run's outputs hold thousands, while `steps.a.output.ok` needs
one. Where the source leaves a doubt the whole variable counts as reached.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

Reach: TypeAlias = "dict[str, Reach | None]"
"""Names and, below each, the fields that are read of it; None: all of it."""

_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*(?P<call>\s*\()?")


def reach_of(source: str, variables: tuple[str, ...]) -> Reach:
    """Every dotted name that begins with a variable. The last name before a parenthesis is a function, not a field."""
    reach: Reach = {}
    commented = "//" in source  # a comment may stand between a function and its parenthesis
    for match in _PATH.finditer(source):
        names = match[0].removesuffix(match["call"] or "").split(".")
        if names[0] not in variables:
            continue
        _add(reach, names[:1] if commented else names[:-1] or names if match["call"] else names)
    return reach


def _add(reach: Reach, names: list[str]) -> None:
    *inner, last = names
    for name in inner:
        below = reach.setdefault(name, {})
        if below is None:
            return
        reach = below
    reach[last] = None


def pick(reach: Reach, value: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the value that is within reach. Fields that are not there stay away, for `has()` and for errors."""
    picked: dict[str, Any] = {}
    for name, below in reach.items():
        if name in value:
            found = value[name]
            picked[name] = found if below is None or type(found) is not dict else pick(below, found)
    return picked
