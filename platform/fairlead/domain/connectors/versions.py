"""Order of semantic versions (semver.org, 2.0.0). Build metadata does not count."""

import re
from functools import total_ordering

_VERSION = re.compile(
    r"(?P<major>0|[1-9]\d*)\.(?P<minor>0|[1-9]\d*)\.(?P<patch>0|[1-9]\d*)"
    r"(?:-(?P<pre>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?",
    re.ASCII,
)
MAX_CHARS = 64


@total_ordering
class Version:
    def __init__(self, text: str) -> None:
        """Raises ValueError."""
        found = _VERSION.fullmatch(text)
        if found is None or len(text) > MAX_CHARS:
            raise ValueError("not a semantic version")
        self.text = text
        self.major = int(found["major"])
        # A version comes after its pre-releases; numbers come before words.
        pre = tuple(_identifier(part) for part in found["pre"].split(".")) if found["pre"] else ()
        self._order = (self.major, int(found["minor"]), int(found["patch"]), not pre, pre)

    @property
    def is_release(self) -> bool:
        return self._order[3]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self._order == other._order

    def __lt__(self, other: "Version") -> bool:
        return self._order < other._order

    def __hash__(self) -> int:
        return hash(self._order)


def _identifier(text: str) -> tuple[bool, int, str]:
    return (False, int(text), "") if text.isdigit() else (True, 0, text)
