"""What an expression reads, found by its tokens, and the expressions within a sentence.

The scanner knows CEL's strings, comments and names; whether the text is an expression at all the compiler decides.
"""

import re
from collections.abc import Collection, Iterator
from typing import Any

from msgspec import Struct

from fairlead.domain.expressions import ExpressionInvalid

ROOTS = frozenset({"input", "steps", "run"})
"""What every expression of a step may read, beside the items of the `each`es around it."""

RESERVED_WORDS = frozenset(
    {"as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in"}
    | {"let", "loop", "namespace", "null", "package", "return", "true", "var", "void", "while"}
)
"""CEL keeps these for itself: they are neither variables nor, in every implementation, fields."""

MAX_EXPRESSION_CHARS = 4_000
_STRING = r'(?:"""(?:[^\\]|\\[\s\S])*?"""|\'\'\'(?:[^\\]|\\[\s\S])*?\'\'\'|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\')'
_RAW = r'[bB]?[rR][bB]?(?:"""[\s\S]*?"""|\'\'\'[\s\S]*?\'\'\'|"[^"\n]*"|\'[^\'\n]*\')'
_TOKEN = re.compile(
    rf"(?P<space>\s+|//[^\n]*)|(?P<string>{_RAW}|[bB]?{_STRING}|`[^`\n]*`)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<number>\d[\w]*(?:\.\d\w*)?)|(?P<sign>[\s\S])"
)


class Token(Struct, frozen=True):
    kind: str
    text: str
    start: int


class Reads(Struct, frozen=True):
    """Top-level names, and the ids that follow `steps.`; both may hold names that mean something else in place."""

    names: frozenset[str]
    steps: frozenset[str]


class Embedded(Struct, frozen=True):
    """An expression within a sentence."""

    source: str


def expression_of(value: Any) -> str | None:
    """The source when the value is exactly `${ expression }`."""
    if isinstance(value, str) and value.startswith("${") and value.endswith("}"):
        return value[2:-1].strip()
    return None


def sentence_parts(text: str, most_chars: int = MAX_EXPRESSION_CHARS) -> list[str | Embedded]:
    """Text and expressions in turn. Raises ExpressionInvalid when a `${` is never closed or the text is too long."""
    if len(text) > most_chars:
        raise ExpressionInvalid(f"a sentence with expressions has at most {most_chars} characters")
    parts: list[str | Embedded] = []
    at = 0
    while (start := text.find("${", at)) >= 0:
        end = _closing(text, start + 2)
        parts += [text[at:start], Embedded(text[start + 2 : end].strip())]
        at = end + 1
    return [part for part in (*parts, text[at:]) if part != ""]


def reads(source: str) -> Reads:
    """Raises ExpressionInvalid for an empty or too long source, and where a step is not named by `steps.<id>`."""
    if not source or len(source) > MAX_EXPRESSION_CHARS:
        raise ExpressionInvalid(f"an expression has 1 to {MAX_EXPRESSION_CHARS} characters")
    tokens = list(_tokens(source, 0))
    names: set[str] = set()
    steps: set[str] = set()
    for index, token in enumerate(tokens):
        if token.kind != "name" or _selects(tokens, index):
            continue
        names.add(token.text)
        if token.text == "steps":
            steps.add(_step_after(tokens, index))
    return Reads(frozenset(names), frozenset(steps))


def paths(source: str, roots: Collection[str]) -> list[str]:
    """The dotted names below these roots that a source reads, in order: `args.amount`, `run.calls`."""
    tokens = list(_tokens(source, 0))
    found: dict[str, None] = {}
    for index, token in enumerate(tokens):
        if token.kind == "name" and token.text in roots and not _selects(tokens, index):
            found[".".join([token.text, *_fields_after(tokens, index)])] = None
    return list(found)


def _fields_after(tokens: list[Token], index: int) -> Iterator[str]:
    """Names after a dot; what is called is a function and no field."""
    while index + 2 < len(tokens) and tokens[index + 1].text == "." and tokens[index + 2].kind == "name":
        index += 2
        if index + 1 < len(tokens) and tokens[index + 1].text == "(":
            return
        yield tokens[index].text


def _selects(tokens: list[Token], index: int) -> bool:
    """Whether the name at `index` is a field of what stands before it; after a bare dot it is a top-level name."""
    if index == 0 or tokens[index - 1].text != ".":
        return False
    return index > 1 and (tokens[index - 2].kind != "sign" or tokens[index - 2].text in ")]}")


def _step_after(tokens: list[Token], index: int) -> str:
    following = tokens[index + 1 : index + 3]
    if len(following) < 2 or following[0].text != "." or following[1].kind != "name":
        raise ExpressionInvalid(f"at character {tokens[index].start}: name a step as steps.<id>")
    return following[1].text


def _closing(text: str, start: int) -> int:
    depth = 0
    for token in _tokens(text, start):
        if token.text == "}" and depth == 0:
            return token.start
        depth += {"{": 1, "}": -1}.get(token.text, 0)
    raise ExpressionInvalid("a ${ is not closed by }")


def _tokens(text: str, start: int) -> Iterator[Token]:
    for match in _TOKEN.finditer(text, start):
        if match.lastgroup != "space":
            yield Token(match.lastgroup or "", match.group(), match.start())
