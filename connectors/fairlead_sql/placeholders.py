"""`:name` in a statement: found outside of strings, names in quotes and comments, and written as a driver wants it."""

import re
from collections.abc import Callable

from msgspec import Struct

_TOKEN = re.compile(
    r"""
      (?P<escaped>\b[eE]'|\b[uU]&['"])     # strings with rules of their own
    | '(?:[^']|'')*+'?                     # a string
    | "(?:[^"]|"")*+"?                     # a name in quotes
    | --[^\n]*+                            # a comment to the end of its line
    | /\*.*?(?:\*/|\Z)                     # and one that may be longer
    | (?P<dollar>\$(?:[A-Za-z_]\w*)?\$)    # a string in dollars
    | ::                                   # a cast
    | :(?P<name>[A-Za-z_]\w*)
    | (?P<end>;)
    """,
    re.VERBOSE | re.DOTALL,
)


class Scanned(Struct, frozen=True):
    """`names` in the order they come; `pieces` are the text before, between and after them."""

    names: tuple[str, ...]
    pieces: tuple[str, ...]

    def written(self, placeholder: Callable[[str], str], text: Callable[[str], str] = str) -> str:
        found = [text(self.pieces[0])]
        for name, piece in zip(self.names, self.pieces[1:], strict=True):
            found += (placeholder(name), text(piece))
        return "".join(found)


class Unreadable(Exception):
    """The message says what is not allowed in a statement."""


def scanned(sql: str) -> Scanned:
    """One statement. Raises Unreadable."""
    names: list[str] = []
    pieces: list[str] = []
    since = 0
    sql = sql.strip().removesuffix(";").rstrip()
    for found in _TOKEN.finditer(sql):
        if found["escaped"]:
            raise Unreadable("strings with escapes are not read: use standard strings")
        if found["dollar"]:
            raise Unreadable("strings in dollars are not read: use standard strings")
        if found["end"]:
            raise Unreadable("there is more than one statement")
        if found["name"]:
            names.append(found["name"])
            pieces.append(sql[since : found.start()])
            since = found.end()
    return Scanned(tuple(names), (*pieces, sql[since:]))
