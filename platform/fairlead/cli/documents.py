"""What is read from the command line and from files: JSON, or YAML that is read the way the server reads it."""

import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import Struct

from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure

MAX_BYTES = 10 * 1024 * 1024  # far more than the API takes; it says what is too much
JSON, YAML = "application/json", "application/yaml"


class _Loader(yaml.SafeLoader):
    """The core schema of YAML 1.2: dates, `on` and `yes` are text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # the library's own


for _tag, _pattern, _starts in (
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("tag:yaml.org,2002:float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+0123456789.")),
):
    _Loader.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), _starts)
_Loader.add_constructor("tag:yaml.org,2002:int", lambda _, node: int(node.value))  # 012 is twelve
_Loader.add_constructor("tag:yaml.org,2002:float", lambda _, node: float(node.value))


class Document(Struct, frozen=True, kw_only=True):
    """The text of a file as it is. `source` names it in messages."""

    source: str
    body: bytes

    @property
    def media_type(self) -> str:
        return JSON if self.source.endswith(".json") or self.body.lstrip().startswith(b"{") else YAML

    def value(self) -> Any:
        """Raises Failure."""
        try:
            return msgspec.json.decode(self.body) if self.media_type == JSON else yaml.load(self.body, _Loader)  # noqa: S506  # a safe loader
        except (msgspec.DecodeError, yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            raise Failure(f"{self.source} is not JSON or YAML", Exit.INVALID, details=(str(error),)) from error


def document_in(file: str) -> Document:
    """`-` is standard input. Raises Failure."""
    try:
        body = sys.stdin.buffer.read(MAX_BYTES) if file == "-" else _bytes(Path(file))
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}", Exit.USAGE) from error
    return Document(source="standard input" if file == "-" else file, body=body)


def value_of(text: str) -> Any:
    """JSON, or `@` and the name of a file, or `-` for standard input. Raises Failure."""
    if text == "-" or text.startswith("@"):
        return document_in(text.removeprefix("@")).value()
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        hint = "give JSON, @file for a file, or - for standard input"
        raise Failure(f"that is not JSON: {error}", Exit.USAGE, details=(hint,)) from error


def pairs(texts: tuple[str, ...]) -> dict[str, str]:
    """`name=value`, each name once. Raises Failure."""
    found: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name or name in found:
            raise Failure(f"{text!r} is not name=value, or its name came before", Exit.USAGE)
        found[name] = value
    return found


def _bytes(file: Path) -> bytes:
    with file.open("rb") as source:
        return source.read(MAX_BYTES)
