"""A description as plain data: JSON, or YAML of which only what JSON can say is taken."""

import re
from typing import Any

import msgspec
import yaml
from fairlead_sdk.importing import ImportProblem
from yaml._yaml import CParser
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

MAX_JSON_BYTES = 16 * 1024 * 1024
MAX_YAML_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 100
MAX_VISITS = 600_000  # an alias that is met twice counts twice

Document = dict[str, Any]
_VERSION = re.compile(r"3\.[01]\.[0-9]+(-.*)?")


class _TooMuch(Exception):
    pass


class _Loader(Composer, CParser, SafeConstructor, Resolver):
    """The core schema of YAML 1.2: dates, `on` and `yes` are text. The C library reads the text and no more than that:
    what it makes nodes with has no bound to its depth."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # the library's own

    def __init__(self, stream: bytes) -> None:
        CParser.__init__(self, stream)
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _TooMuch
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


for _tag, _pattern, _starts in (
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("tag:yaml.org,2002:int", r"0|[-+]?[1-9][0-9]{0,99}", list("-+0123456789")),
    ("tag:yaml.org,2002:float", r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?", list("-+0123456789.")),
):
    _Loader.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), _starts)


def document_of(description: bytes) -> Document | ImportProblem:
    """What begins with a brace is JSON."""
    is_json = description.lstrip()[:1] == b"{"
    limit = MAX_JSON_BYTES if is_json else MAX_YAML_BYTES
    if len(description) > limit:
        return ImportProblem("", "too_large", f"a description has at most {limit // 1024 // 1024} MiB")
    try:
        document = msgspec.json.decode(description) if is_json else _from_yaml(description)
    except _TooMuch:
        return ImportProblem("", "too_deep", "it nests too deep, or repeats itself too often")
    except (msgspec.DecodeError, yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError):
        return ImportProblem("", "malformed", "this is neither JSON nor the YAML that is taken here")
    if not isinstance(document, dict):
        return ImportProblem("", "malformed", "a description is an object")
    return _fault(document) or document


def _from_yaml(description: bytes) -> Any:
    return _Plain().of(_Loader(description).get_single_data())


def _fault(document: Document) -> ImportProblem | None:
    version = document.get("openapi")
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        return ImportProblem("/openapi", "not_openapi_3", "only OpenAPI 3.0 and 3.1 are read")
    if not isinstance(document.get("paths"), dict):
        return ImportProblem("/paths", "missing", "there are no paths")
    for key in ("info", "components"):
        if not isinstance(document.get(key, {}), dict):
            return ImportProblem(f"/{key}", "wrong_type", f"{key} is an object")
    return None


class _Plain:
    """A copy with keys of text only; numbers that stand for answers' statuses are keys in YAML."""

    def __init__(self) -> None:
        self._left = MAX_VISITS

    def of(self, value: Any, depth: int = 0) -> Any:
        self._left -= 1
        if self._left < 0 or depth > MAX_DEPTH:
            raise _TooMuch
        if isinstance(value, dict):
            return {self._key(key): self.of(inner, depth + 1) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.of(inner, depth + 1) for inner in value]
        if value is None or isinstance(value, str | int | float):
            return value
        raise ValueError

    def _key(self, key: Any) -> str:
        if isinstance(key, bool | None) or not isinstance(key, str | int):
            raise ValueError
        return str(key)
