"""A server's list of tools becomes a set. What a server says of its effects is a claim, and counts only if told so."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from fairlead_sdk import Auth, AuthKind, ConfigField, Effect, Idempotency
from fairlead_sdk.importing import Import, ImportedTool, ImportProblem, LeftOut, Schema, ToolSet
from msgspec import Meta, Struct

from fairlead_mcp.schemas import Unusable, closed, hoisted

MAX_TOOLS = 500
MAX_DOCUMENT_BYTES = 1024 * 1024
TIMEOUT_S = 30.0
_SET_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NO_WORD = re.compile(r"[^a-z0-9]+")


class Annotations(Struct, frozen=True, rename="camel"):
    title: str | None = None
    read_only_hint: bool = False
    destructive_hint: bool = True
    idempotent_hint: bool = False


class Offered(Struct, frozen=True, rename="camel"):
    name: Annotated[str, Meta(min_length=1, max_length=200)]
    input_schema: dict[str, Any]
    title: str | None = None
    description: str = ""
    output_schema: dict[str, Any] | None = None
    annotations: Annotations = Annotations()


class Offer(Struct, frozen=True):
    tools: Annotated[list[Any], Meta(max_length=MAX_TOOLS)]


class ToolHint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    effect: Effect | None = None
    idempotency: Idempotency | None = None
    writes: tuple[str, ...] | None = None
    timeout_s: Annotated[float, Meta(gt=0, le=600)] = TIMEOUT_S


class Hints(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`trust` "server": take what it says of its tools' effects. `tools` by the server's own names."""

    trust: Literal["nobody", "server"] = "nobody"
    only: tuple[str, ...] | None = None
    tools: dict[str, ToolHint] = {}


def read(name: str, description: bytes, given: Mapping[str, Any]) -> Import:
    """Never raises. A tool that cannot be used is left out, with the reason."""
    problems: list[ImportProblem] = []
    if not _SET_NAME.fullmatch(name):
        message = "a set's name is a lower-case word of at most 32 characters"
        problems.append(ImportProblem("/name", "bad_name", message))
    hints, offer = _hints(given), _offer(description)
    problems += [each for each in (hints, offer) if isinstance(each, ImportProblem)]
    if problems or isinstance(hints, ImportProblem) or isinstance(offer, ImportProblem):
        return Import(tool_set=None, problems=tuple(problems))
    return _Reading(name, hints).of(offer)


class _Reading:
    def __init__(self, name: str, hints: Hints) -> None:
        self._name = name
        self._hints = hints
        self._definitions: dict[str, Schema] = {}
        self._left_out: list[LeftOut] = []
        self._tools: dict[str, ImportedTool] = {}

    def of(self, offer: Offer) -> Import:
        offered = list(self._offered(offer))
        known = {each.name for _, each in offered}
        wanted = (*(self._hints.only or ()), *self._hints.tools)
        problems = [
            ImportProblem("/hints", "unknown_tool", f"there is no tool {each}") for each in wanted if each not in known
        ]
        for place, each in offered:
            if self._hints.only is None or each.name in self._hints.only:
                self._take(place, each)
        if not self._tools and not problems:
            problems.append(ImportProblem("/tools", "no_tools", "none of its tools can be used"))
        left_out = tuple(self._left_out)
        if problems:
            return Import(tool_set=None, problems=tuple(problems), left_out=left_out)
        return Import(tool_set=self._set(), left_out=left_out)

    def _offered(self, offer: Offer) -> Iterator[tuple[str, Offered]]:
        for number, each in enumerate(offer.tools):
            place = f"/tools/{number}"
            try:
                yield place, msgspec.convert(each, Offered)
            except msgspec.ValidationError as fault:
                self._left_out.append(LeftOut(place, place, "invalid", str(fault)))

    def _take(self, place: str, offered: Offered) -> None:
        name = f"{self._name}.{_words(offered.name)}"
        if name.endswith(".") or len(name) > 128 or name in self._tools:
            self._left_out.append(LeftOut(offered.name, place, "name", "its name gives none of ours, or one twice"))
            return
        try:
            self._tools[name] = self._tool(name, offered)
        except Unusable as fault:
            self._left_out.append(LeftOut(offered.name, place, "schema", str(fault)))

    def _tool(self, name: str, offered: Offered) -> ImportedTool:
        hint = self._hints.tools.get(offered.name, ToolHint())
        effect = hint.effect or _effect(offered.annotations, trusted=self._hints.trust == "server")
        prefix = _words(offered.name)
        takes = hoisted(closed(offered.input_schema), prefix, self._definitions)
        gives = offered.output_schema and hoisted(offered.output_schema, f"{prefix}_output", self._definitions)
        return ImportedTool(
            name=name,
            title=offered.title or offered.annotations.title or offered.name,
            description=offered.description or offered.name,
            input=takes,
            output=_output(gives),
            effect=effect,
            idempotency=hint.idempotency or self._repeats(offered, effect),
            recipe={"tool": offered.name, "structured": gives is not None},
            timeout_s=hint.timeout_s,
            writes=() if effect is Effect.READ else hint.writes or (self._name,),
        )

    def _repeats(self, offered: Offered, effect: Effect) -> Idempotency:
        may_repeat = self._hints.trust == "server" and offered.annotations.idempotent_hint
        return Idempotency.NATURAL if effect is Effect.READ or may_repeat else Idempotency.NONE

    def _set(self) -> ToolSet:
        return ToolSet(
            name=self._name,
            title=self._name.replace("_", " ").capitalize(),
            tools=tuple(self._tools.values()),
            definitions=self._definitions,
            auth=Auth(kind=AuthKind.API_KEY),
            config=(
                ConfigField(name="url", title="Address of a server over HTTP", required=False),
                ConfigField(name="program", title="Or the name of a program that the operator lists", required=False),
            ),
            egress=("{url}",),
        )


def _effect(said: Annotations, *, trusted: bool) -> Effect:
    """Without trust a server can say that a tool is worse than it looks, and not that it is better than a write."""
    if trusted and said.read_only_hint:
        return Effect.READ
    return Effect.WRITE if said.read_only_hint or not said.destructive_hint else Effect.DESTRUCTIVE


def _output(structured: Schema | None) -> Schema:
    """`text` is all that it says in words; `omitted` counts pictures, sounds and files, which are not passed on."""
    properties: dict[str, Schema] = {"text": {"type": "string"}, "omitted": {"type": "integer"}}
    if structured is not None:
        properties["structured"] = structured
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _words(name: str) -> str:
    return _NO_WORD.sub("_", _HUMP.sub("_", name).lower()).strip("_").lstrip("0123456789_")


def _hints(given: Mapping[str, Any]) -> Hints | ImportProblem:
    try:
        return msgspec.convert(dict(given), Hints)
    except msgspec.ValidationError as fault:
        return ImportProblem("/hints", "invalid", str(fault))


def _offer(description: bytes) -> Offer | ImportProblem:
    if len(description) > MAX_DOCUMENT_BYTES:
        return ImportProblem("", "too_large", f"a document has at most {MAX_DOCUMENT_BYTES} bytes")
    try:
        return msgspec.json.decode(description, type=Offer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ImportProblem("", "unreadable", "the document is not what a server answers to tools/list")
