"""Text that others wrote, shown to a model as data: fenced by marks that nobody outside the run can guess."""

import hashlib
from typing import Any

import msgspec

_encode = msgspec.json.Encoder(order="sorted").encode  # in whatever order a history comes back, it shows alike


class Fence:
    """Of one run. A text that holds the mark, which it cannot know, loses it."""

    def __init__(self, mark: str) -> None:
        self._mark = mark

    @property
    def name(self) -> str:
        return f"data-{self._mark}"

    def around(self, text: str, source: str, *, warned: bool = False) -> str:
        """`source` is in our own words."""
        warning = ' warning="this holds text that tries to give orders"' if warned else ""
        safe = text.replace(self._mark, "[mark]")
        return f'<{self.name} source="{source}"{warning}>\n{safe}\n</{self.name}>'


def mark_of(run_id: str, given: str) -> str:
    """What the run was given when it began; of older runs, which have none, what follows from their id."""
    return given or hashlib.sha256(f"fence/{run_id}".encode()).hexdigest()[:32]


def shown(value: Any) -> str:
    """A text as it is, anything else as JSON."""
    return value if isinstance(value, str) else _encode(value).decode()


def cut(text: str, most_chars: int) -> str:
    if len(text) <= most_chars:
        return text
    return f"{text[:most_chars]}\n[the first {most_chars} of {len(text)} characters]"
