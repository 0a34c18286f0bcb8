"""One operation of a description as one imported tool."""

from typing import Any

from fairlead_sdk import Effect, Idempotency
from fairlead_sdk.importing import ImportedTool, Schema
from msgspec import Struct

from fairlead_http.bodies import read_answer, read_body
from fairlead_http.hints import NO_HINTS, Hints, OperationHints, Pagination
from fairlead_http.naming import resource, snake, tool_name
from fairlead_http.parameters import Arguments, read_parameters
from fairlead_http.pointing import CannotImport, pointer, resolved
from fairlead_http.reading import Document
from fairlead_http.recipes import Recipe, kept
from fairlead_http.schemas import Schemas
from fairlead_http.security import Need

METHODS = ("get", "head", "post", "put", "patch", "delete")
MAX_PAGES = 20

_EFFECTS = {"get": Effect.READ, "head": Effect.READ, "delete": Effect.DESTRUCTIVE}
_REPEATABLE = frozenset({"get", "head", "put", "delete"})  # RFC 9110, section 9.2.2
_PAGE: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 4000,
    "description": "`next_page` of an earlier answer.",
}
_PAGES: Schema = {
    "type": "integer",
    "minimum": 1,
    "maximum": MAX_PAGES,
    "description": "How many pages to read at once.",
}


class Operation(Struct, frozen=True, kw_only=True):
    """Where it stands and what was said of it. `item` is what the path holds for all its operations."""

    method: str
    path: str
    item: dict[str, Any]
    given: dict[str, Any]
    hints: OperationHints

    @property
    def key(self) -> str:
        return f"{self.method.upper()} {self.path}"

    @property
    def place(self) -> str:
        return pointer("paths", self.path, self.method)

    @property
    def id(self) -> str | None:
        found = self.given.get("operationId")
        return found if isinstance(found, str) and found else None

    @property
    def tags(self) -> list[str]:
        tags = self.given.get("tags")
        return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []

    @property
    def effect(self) -> Effect:
        return self.hints.effect or _EFFECTS.get(self.method, Effect.WRITE)


def operation_of(path: str, method: str, item: dict[str, Any], hints: Hints) -> Operation:
    """Raises CannotImport."""
    given = item[method]
    if not isinstance(given, dict):
        raise CannotImport(pointer("paths", path, method), "wrong_type", "an operation is an object")
    found = Operation(method=method, path=path, item=item, given=given, hints=NO_HINTS)
    said = hints.operations.get(found.id or "") or hints.operations.get(found.key) or NO_HINTS
    return Operation(method=method, path=path, item=item, given=given, hints=said)


def tool_of(
    operation: Operation,
    *,
    document: Document,
    schemas: Schemas,
    prefix: str,
    taken: set[str],
    need: Need,
    server: tuple[str, bool],
    hints: Hints,
) -> ImportedTool:
    """Raises CannotImport. Its name is then taken."""
    arguments = read_parameters(document, schemas, operation.path, operation.item, operation.given, operation.place)
    body = read_body(document, schemas, operation.given, arguments, operation.place)
    kind, answer, accept = read_answer(document, schemas, operation.given, operation.place)
    pagination = _pagination(document, operation, hints, kind == "json")
    paging = _with_pages(arguments) if pagination else None
    takes = arguments.schema()
    name = operation.hints.name or tool_name(operation.method, operation.path, operation.id, taken)
    if name in taken:
        raise CannotImport(operation.place, "name_taken", f"another operation is called {name}")
    key_header = operation.hints.idempotency_header or arguments.key_header
    taken.add(name)
    tagged = pagination is None and _speaks_of(document, operation, "etag")
    recipe = Recipe(
        method=operation.method.upper(),
        path=operation.path,
        server=server[0],
        fixed=server[1],
        parameters=tuple(arguments.parameters),
        body=body,
        accept=accept,
        answer=kind,
        authorized=need.scopes is not None,
        key_header=key_header,
        pagination=pagination,
        tagged=tagged,
    )
    checked = {} if operation.hints.answers == "any" else answer
    return ImportedTool(
        name=f"{prefix}.{name}",
        title=_title(operation, name),
        description=_description(operation),
        input=takes,
        output=_output(_or_nothing(operation, checked) if tagged else checked, paged=paging is not None, tagged=tagged),
        effect=operation.effect,
        idempotency=_idempotency(operation, bool(key_header)),
        recipe=kept(recipe),
        timeout_s=operation.hints.timeout_s or hints.timeout_s,
        scopes=need.scopes or (),
        writes=() if operation.effect is Effect.READ else operation.hints.writes or _writes(prefix, operation),
    )


def _writes(prefix: str, operation: Operation) -> tuple[str, ...]:
    """What it is filed under, or what its path is about."""
    tag = next((word for word in map(snake, operation.tags) if word and word[0].isalpha()), None)
    return (f"{prefix}.{tag or resource(operation.path)}"[:63],)


def _idempotency(operation: Operation, takes_key: bool) -> Idempotency:
    if operation.hints.idempotency is not None:
        return operation.hints.idempotency
    if operation.effect is Effect.READ or operation.method in _REPEATABLE:
        return Idempotency.NATURAL
    return Idempotency.KEY if takes_key else Idempotency.NONE


def _pagination(document: Document, operation: Operation, hints: Hints, is_json: bool) -> Pagination | None:
    """What was said, else a Link header that an answer speaks of. Only what reads can go on reading."""
    if operation.method != "get" or not is_json:
        return None
    if operation.hints.pagination is not None:
        return operation.hints.pagination
    said = hints.pagination
    if said is not None and (said.parameter is None or _takes(operation, said.parameter)):
        return said
    return Pagination(style="link") if _speaks_of(document, operation, "link") else None


def _takes(operation: Operation, parameter: str) -> bool:
    listed = [*_list(operation.item.get("parameters")), *_list(operation.given.get("parameters"))]
    return any(isinstance(each, dict) and each.get("name") == parameter for each in listed)


def _speaks_of(document: Document, operation: Operation, header: str) -> bool:
    """Whether an answer is said to bear it. A response may stand elsewhere; one that cannot be found says nothing."""
    responses = operation.given.get("responses")
    for response in responses.values() if isinstance(responses, dict) else ():
        try:
            headers = resolved(document, response, "")[0].get("headers")
        except CannotImport:
            continue
        if isinstance(headers, dict) and any(str(name).lower() == header for name in headers):
            return True
    return False


def _or_nothing(operation: Operation, body: Schema) -> Schema:
    """What was asked for only if it has changed may not have."""
    return {"anyOf": [body, {"type": "null"}]} if operation.method == "get" else body


def _with_pages(arguments: Arguments) -> bool:
    """Two arguments more: where to go on, and how far."""
    for name, schema in (("next_page", _PAGE), ("pages", _PAGES)):
        if name in arguments.properties:
            raise CannotImport("", "name_taken", f"the argument {name} is the platform's own where there are pages")
        arguments.properties[name] = schema
    return True


def _output(body: Schema, *, paged: bool, tagged: bool) -> Schema:
    properties: dict[str, Schema] = {"status": {"type": "integer"}, "body": body}
    if tagged:
        properties["etag"] = {"type": ["string", "null"]}
    if paged:
        properties["next_page"] = {"type": ["string", "null"]}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _title(operation: Operation, name: str) -> str:
    said = operation.hints.title or operation.given.get("summary")
    text = said if isinstance(said, str) and said.strip() else name.replace("_", " ").capitalize()
    return " ".join(text.split())[:200]


def _description(operation: Operation) -> str:
    """What it says of itself, and what is sent."""
    if operation.hints.description:
        return operation.hints.description
    said = operation.given.get("description") or operation.given.get("summary")
    text = said.strip()[:2000] if isinstance(said, str) else ""
    return f"{text}\n\n{operation.key}" if text else operation.key


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
