"""A document of statements, as its author writes it."""

from typing import Annotated, Any

import msgspec
import yaml
from fairlead_sdk import Effect, Idempotency
from fairlead_sdk.importing import ImportProblem
from msgspec import Meta, Struct

from fairlead_sql.dialects import Dialect

MAX_DOCUMENT_BYTES = 256 * 1024
MAX_STATEMENTS = 100
Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$", max_length=60)]


class Statement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`parameters` and `columns` are JSON Schemas by name. `:name` in `sql` stands for a parameter."""

    name: Name
    title: Annotated[str, Meta(min_length=1, max_length=200)]
    description: Annotated[str, Meta(min_length=1, max_length=2_000)]
    sql: Annotated[str, Meta(min_length=1, max_length=20_000)]
    effect: Effect = Effect.READ
    parameters: Annotated[dict[Name, dict[str, Any]], Meta(max_length=50)] = {}
    columns: Annotated[dict[str, dict[str, Any]], Meta(max_length=100)] = {}
    writes: Annotated[tuple[str, ...], Meta(max_length=20)] = ()
    idempotency: Idempotency | None = None
    max_rows: Annotated[int, Meta(ge=1, le=1_000)] = 100
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 10.0

    @property
    def repeats(self) -> Idempotency:
        """Reads can be repeated. A write can when its author says so, or uses the key of the call."""
        if self.effect is Effect.READ:
            return Idempotency.NATURAL
        return self.idempotency or Idempotency.NONE


class Heading(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    fairlead_sql: Annotated[int, Meta(ge=1, le=1)]
    title: Annotated[str, Meta(min_length=1, max_length=200)]
    dialect: Dialect
    statements: Annotated[list[Any], Meta(min_length=1, max_length=MAX_STATEMENTS)]


class Document(Struct, frozen=True):
    heading: Heading
    statements: tuple[Statement, ...]


def document_of(description: bytes) -> Document | list[ImportProblem]:
    """YAML or JSON. Everything that is wrong with its shape, statement by statement."""
    if len(description) > MAX_DOCUMENT_BYTES:
        return [ImportProblem("", "too_large", f"a document has at most {MAX_DOCUMENT_BYTES} bytes")]
    try:
        plain = yaml.load(description, Loader=_PlainLoader)  # noqa: S506  # makes plain data only, see below
        heading = msgspec.convert(plain, Heading)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as fault:
        return [_problem("", fault)]
    statements: list[Statement] = []
    problems: list[ImportProblem] = []
    for number, each in enumerate(heading.statements):
        try:
            statements.append(msgspec.convert(each, Statement))
        except msgspec.ValidationError as fault:
            problems.append(_problem(f"/statements/{number}", fault))
    return problems or Document(heading, tuple(statements))


class _PlainLoader(yaml.SafeLoader):
    """Without aliases, which could blow a small document up, and with dates left as text."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not read")
        return super().compose_node(parent, index)


_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _problem(path: str, fault: Exception) -> ImportProblem:
    if not isinstance(fault, msgspec.ValidationError):
        return ImportProblem(path, "unreadable", "the document is no YAML and no JSON that can be read")
    message, _, place = str(fault).partition(" - at `$")
    inner = place.rstrip("`").replace(".", "/").replace("[", "/").replace("]", "")
    return ImportProblem(path + inner, "invalid", message)
