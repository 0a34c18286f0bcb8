"""Workflow documents as they are sent: JSON, or YAML read the way a person means it.

Of YAML only what has a JSON counterpart is taken: `on`, `yes` and dates are text, and there are no tags, no aliases and
no keys that stand twice.
"""

import asyncio
import re
from collections.abc import Hashable
from typing import Any

import yaml
from yaml._yaml import CParser
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from fairlead.api.bodies import JSON, MAX_DEPTH, ApiRequest, decoded
from fairlead.api.problems import MediaTypeUnsupported
from fairlead.domain.errors import Invalid, Problem
from fairlead.domain.workflow.document import MAX_DOCUMENT_BYTES

YAML = ("application/yaml", "application/x-yaml", "text/yaml")
MEDIA_TYPES = (JSON, *YAML)


class _Loader(Composer, CParser, SafeConstructor, Resolver):
    """The core schema of YAML 1.2, making plain data only. The C library reads the text, ten times as fast."""

    # 012 is twelve, and nothing is counted in sixties.
    yaml_constructors = {  # noqa: RUF012  # the library's own
        **SafeConstructor.yaml_constructors,
        "tag:yaml.org,2002:int": lambda _, node: int(node.value),
        "tag:yaml.org,2002:float": lambda _, node: float(node.value),
    }
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # the library's own

    def __init__(self, stream: bytes) -> None:
        CParser.__init__(self, stream)
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)
        self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        assert event is not None, "a node begins with an event"
        if isinstance(event, yaml.AliasEvent):
            raise _Unwanted("aliases are not taken", event.start_mark)
        if getattr(event, "tag", None) is not None:
            raise _Unwanted("tags are not taken", event.start_mark)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _Unwanted(f"nests deeper than {MAX_DEPTH} levels", event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _Unwanted("a key is text", key.start_mark)
            if key.value in seen:
                raise _Unwanted("the key stands twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Unwanted(yaml.MarkedYAMLError):
    def __init__(self, problem: str, mark: Any) -> None:
        super().__init__(problem=problem, problem_mark=mark)


for _tag, _pattern, _starts in (
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("tag:yaml.org,2002:float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+0123456789.")),
):
    _Loader.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), _starts)


async def document_of(request: ApiRequest) -> Any:
    """Plain data. Raises MediaTypeUnsupported, BodyTooLarge, MalformedBody, Invalid with the place in the text."""
    media_type = request.content_type[0]
    if media_type not in ("", *MEDIA_TYPES):
        raise MediaTypeUnsupported(f"the document must be {' or '.join(MEDIA_TYPES[:2])}")
    body = await request.body()
    if media_type in YAML:
        return await asyncio.to_thread(from_yaml, body)  # it is slow, and others are to be served meanwhile
    return decoded(body)


def from_yaml(body: bytes) -> Any:
    """Raises Invalid."""
    if len(body) > MAX_DOCUMENT_BYTES:
        raise _invalid(f"the document is larger than {MAX_DOCUMENT_BYTES // 1024} KiB", "too_large")
    try:
        return _Loader(body).get_single_data()
    except yaml.MarkedYAMLError as error:
        raise _invalid(_place(error), "malformed") from None
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError):
        raise _invalid("the text is not YAML", "malformed") from None


def _place(error: yaml.MarkedYAMLError) -> str:
    """Where and what, but not the text there."""
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    what = error.problem if isinstance(error, _Unwanted) else "this is not the YAML that is taken here"
    return f"{where}{what}"


def _invalid(message: str, code: str) -> Invalid:
    return Invalid([Problem(path="", message=message, code=code)], "the document cannot be read")
