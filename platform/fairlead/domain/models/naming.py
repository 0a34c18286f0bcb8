"""Names of tools that every wire takes, with an exact way back."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable

MAX_WIRE_NAME = 64
_UNSAFE = re.compile(r"[^a-zA-Z0-9_-]")
_HASH_DIGITS = 8


class WireNames:
    """Of the tools of one request. The same set of tools always has the same names, in whatever order they come."""

    def __init__(self, tools: Iterable[str]) -> None:
        self._wire: dict[str, str] = {}
        wanted: defaultdict[str, list[str]] = defaultdict(list)
        for tool in sorted(set(tools)):
            wanted[_plain(tool)].append(tool)
        taken = {name for name, tools_ in wanted.items() if name in tools_ or len(tools_) == 1}
        for name, tools_ in wanted.items():
            for tool in tools_:
                self._wire[tool] = name if tool == name or len(tools_) == 1 else _apart(tool, taken)
        self._tools = {name: tool for tool, name in self._wire.items()}
        assert len(self._tools) == len(self._wire), "no two tools share a name"

    def on_wire(self, tool: str) -> str:
        return self._wire[tool]

    def tool(self, name: str) -> str | None:
        """None for what was never offered: models make names up."""
        return self._tools.get(name)


def _plain(tool: str) -> str:
    name = _UNSAFE.sub("_", tool)
    return name if 0 < len(name) <= MAX_WIRE_NAME else _with_hash(tool, _HASH_DIGITS)


def _apart(tool: str, taken: set[str]) -> str:
    digits = _HASH_DIGITS
    while (name := _with_hash(tool, digits)) in taken:
        digits += 1
    taken.add(name)
    return name


def _with_hash(tool: str, digits: int) -> str:
    end = "_" + hashlib.sha256(tool.encode()).hexdigest()[:digits]
    return _UNSAFE.sub("_", tool)[: MAX_WIRE_NAME - len(end)] + end
