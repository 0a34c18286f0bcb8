"""A document of statements becomes a set of tools. Pure: the same bytes always give the same set."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from fairlead_sdk import Effect, Idempotency
from fairlead_sdk.importing import Import, ImportedTool, ImportProblem, Schema, ToolSet

from fairlead_sql.dialects import AUTH, CONFIG, EGRESS, Dialect
from fairlead_sql.placeholders import Unreadable, scanned
from fairlead_sql.recipes import KEY, Recipe, plain
from fairlead_sql.statements import Document, Statement, document_of

SCALARS = ("string", "integer", "number", "boolean")
_SET_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


def read(name: str, description: bytes, hints: Mapping[str, Any]) -> Import:
    """Never raises: what is wrong is told, all of it at once."""
    problems: list[ImportProblem] = []
    if not _SET_NAME.fullmatch(name):
        message = "a set's name is a lower-case word of at most 32 characters"
        problems.append(ImportProblem("/name", "bad_name", message))
    if hints:
        problems.append(ImportProblem("/hints", "unknown_hint", "statements take no hints"))
    document = document_of(description)
    if isinstance(document, Document):
        problems += _faults(document)
        if not problems:
            return Import(tool_set=_set(name, document))
    else:
        problems += document
    return Import(tool_set=None, problems=tuple(problems))


def _faults(document: Document) -> Iterator[ImportProblem]:
    times = Counter(statement.name for statement in document.statements)
    for number, statement in enumerate(document.statements):
        place = f"/statements/{number}"
        if times[statement.name] > 1:
            yield ImportProblem(f"{place}/name", "repeated", f"{statement.name} is there {times[statement.name]} times")
        yield from _sql_faults(place, statement)
        yield from _schema_faults(place, statement)
        yield from _promise_faults(place, statement)


def _sql_faults(place: str, statement: Statement) -> Iterator[ImportProblem]:
    try:
        names = set(scanned(statement.sql).names)
    except Unreadable as fault:
        yield ImportProblem(f"{place}/sql", "unreadable", str(fault))
        return
    for name in sorted(names - set(statement.parameters) - {KEY}):
        yield ImportProblem(f"{place}/sql", "unknown_parameter", f"there is no parameter {name}")
    for name in sorted(set(statement.parameters) - names):
        yield ImportProblem(f"{place}/parameters/{name}", "unused_parameter", "the statement does not use it")
    if statement.idempotency is Idempotency.KEY and KEY not in names:
        yield ImportProblem(f"{place}/idempotency", "no_key", f"the statement does not use :{KEY}")


def _schema_faults(place: str, statement: Statement) -> Iterator[ImportProblem]:
    for part, schemas in (("parameters", statement.parameters), ("columns", statement.columns)):
        for name, schema in schemas.items():
            if schema.get("type") not in SCALARS or "$ref" in schema:
                message = f"type is one of {', '.join(SCALARS)}"
                yield ImportProblem(f"{place}/{part}/{name}", "not_scalar", message)
    if KEY in statement.parameters:
        yield ImportProblem(f"{place}/parameters/{KEY}", "reserved", "the call's own key has this name")


def _promise_faults(place: str, statement: Statement) -> Iterator[ImportProblem]:
    reads = statement.effect is Effect.READ
    if reads and not statement.columns:
        yield ImportProblem(f"{place}/columns", "no_columns", "name the columns that it gives")
    if reads and (statement.writes or statement.idempotency is not None):
        yield ImportProblem(f"{place}/effect", "read_writes", "it is declared to read, and says how it writes")
    if not reads and not statement.writes:
        yield ImportProblem(f"{place}/writes", "undeclared_write", "name the record kinds that it touches")


def _set(name: str, document: Document) -> ToolSet:
    dialect = document.heading.dialect
    return ToolSet(
        name=name,
        title=document.heading.title,
        tools=tuple(_tool(name, dialect, statement) for statement in document.statements),
        auth=AUTH[dialect],
        egress=EGRESS[dialect],
        config=CONFIG[dialect],
    )


def _tool(set_name: str, dialect: Dialect, statement: Statement) -> ImportedTool:
    found = scanned(statement.sql)
    recipe = Recipe(
        dialect=dialect,
        names=found.names,
        pieces=found.pieces,
        effect=statement.effect,
        columns=tuple(statement.columns),
        max_rows=statement.max_rows,
        timeout_s=statement.timeout_s,
    )
    return ImportedTool(
        name=f"{set_name}.{statement.name}",
        title=statement.title,
        description=statement.description,
        input=_object(statement.parameters),
        output=_output(statement),
        effect=statement.effect,
        idempotency=statement.repeats,
        recipe=plain(recipe),
        timeout_s=statement.timeout_s + 5.0,  # the database is given up before the call is
        writes=statement.writes,
    )


def _output(statement: Statement) -> Schema:
    """`more`: there were rows past the limit. `affected`: how many rows a write touched."""
    columns = {name: {**schema, "type": [schema["type"], "null"]} for name, schema in statement.columns.items()}
    rows = {"type": "array", "items": _object(columns), "maxItems": statement.max_rows}
    if statement.effect is Effect.READ:
        return _object({"rows": rows, "more": {"type": "boolean"}})
    return _object({"rows": rows, "affected": {"type": "integer"}})


def _object(properties: Mapping[str, Schema]) -> Schema:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
