"""What is read from the command line and from files: JSON or YAML, dates left as they were written."""

import sys
from pathlib import Path
from typing import Any

import msgspec
import yaml

from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure

MAX_BYTES = 10 * 1024 * 1024  # far more than the API takes; it says what is too much


class _Loader(yaml.SafeLoader):
    """YAML as JSON would have it: a date is the text that was written, not an object."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # the library's own table, copied without one entry
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def value_of(text: str) -> Any:
    """JSON, or `@` and the name of a file, or `-` for standard input. Raises Failure."""
    if text == "-" or text.startswith("@"):
        return document_in(text.removeprefix("@"))
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        hint = "give JSON, @file for a file, or - for standard input"
        raise Failure(f"that is not JSON: {error}", Exit.USAGE, details=(hint,)) from error


def document_in(file: str) -> Any:
    """The one document in a JSON or YAML file; `-` is standard input. Raises Failure."""
    try:
        text = sys.stdin.read(MAX_BYTES) if file == "-" else _text(Path(file))
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{file} cannot be read: {error}", Exit.USAGE) from error
    try:
        return msgspec.json.decode(text) if file.endswith(".json") else yaml.load(text, _Loader)  # noqa: S506 safe
    except (msgspec.DecodeError, yaml.YAMLError, RecursionError) as error:
        raise Failure(f"{file} is not a JSON or YAML document", Exit.INVALID, details=(str(error),)) from error


def _text(file: Path) -> str:
    with file.open(encoding="utf-8") as source:
        return source.read(MAX_BYTES)


def pairs(texts: tuple[str, ...]) -> dict[str, str]:
    """`name=value`, each name once. Raises Failure."""
    found: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name or name in found:
            raise Failure(f"{text!r} is not name=value, or its name came before", Exit.USAGE)
        found[name] = value
    return found
