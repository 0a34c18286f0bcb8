"""The OpenAPI 3.1 document: `python -m fairlead.api.openapi` prints it.

Paths and parameters come from the routes, bodies from the types that are really decoded and encoded, and every problem
that a route can answer with is listed with it.
"""

import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

import msgspec
from litestar import Litestar, Response
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from msgspec import Struct

from fairlead.api import guards
from fairlead.api.documents import MEDIA_TYPES
from fairlead.api.examples import EXAMPLES
from fairlead.api.problems import MEDIA_TYPE, ProblemDocument, type_of

Document = dict[str, Any]
REF = "#/components/schemas/{name}"
SCHEME = "apiKey"
_WRITES = ("POST", "PUT", "PATCH", "DELETE")
_PROBLEMS = {
    400: ("malformed_body", "The request cannot be read."),
    401: ("not_signed_in", "No credential, or one that does not count."),
    403: ("permission_denied", "A permission is missing; `missing` names it."),
    404: ("not_found", "There is no such thing, or it is not yours to see."),
    409: ("rejected", "Not possible in the present state, or the same request is being carried out."),
    412: ("precondition_failed", "Somebody published since."),
    413: ("body_too_large", "The body is too large."),
    415: ("unsupported_media_type", "The body has a content type that is not taken here."),
    422: ("invalid_input", "What was sent is not valid; `errors` has every problem with its path."),
    429: ("rate_limited", "Too many requests, or too much work waits; nothing was done."),
    431: ("too_many_headers", "The request has too many header fields."),
    500: ("internal", "A fault of ours; `trace_id` finds it."),
    503: ("unavailable", "An engine does not answer, or a read model is behind; ask again."),
}
_TEXT = {"type": "string"}
_TIME = {"type": "string", "format": "date-time"}
_SECONDS = {"type": "number", "description": "Seconds since 1970, UTC."}
_INFO = """\
Programs authenticate with an API key: `Authorization: Bearer flk_…`. The tenant follows from the key.

Every POST takes an `Idempotency-Key`: the same key with the same request gives the same answer each time.
Every write answers with `Fairlead-Position`; a read that sends it back waits until it can see the write.
Errors are problem documents (RFC 9457) whose `type` is stable.
"""


@cache
def document() -> Document:
    """Treat as read-only: there is one."""
    from fairlead.api.application import routed

    api = routed(openapi=OpenAPIConfig(title="Fairlead", version=version("fairlead"), render_plugins=[]))
    shown = msgspec.to_builtins(api.openapi_schema.to_schema())
    handlers = {(path, method): handler for path, method, handler in _handlers(api)}
    types = sorted({shape for handler in handlers.values() for shape in _shapes(handler)}, key=repr)
    schemas, components = msgspec.json.schema_components([*types, ProblemDocument], ref_template=REF)
    schema_of = dict(zip(types, schemas, strict=False))
    for (path, method), handler in handlers.items():
        if method.lower() in shown["paths"].get(path, {}):
            _describe(shown["paths"][path][method.lower()], path, method, handler, schema_of)
    shown["info"] |= {"description": _INFO, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}}
    shown["servers"] = [{"url": "/"}]
    shown["paths"] = dict(sorted(shown["paths"].items()))
    shown["components"] = _components(components | _kept(shown, components))
    plain: Document = _plain(shown)
    return plain


def _handlers(api: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    for route in api.routes:
        for handler in getattr(route, "route_handlers", ()):
            for method in handler.http_methods:
                yield route.path_format, method, handler


def _shapes(handler: HTTPRouteHandler) -> Iterator[Any]:
    if (data := handler.parsed_fn_signature.parameters.get("data")) is not None:
        yield data.annotation
    if (answer := _answer(handler)) is not None:
        yield answer


def _answer(handler: HTTPRouteHandler) -> Any:
    """What the answer's JSON is made from; None for an answer that is not made from a type of ours."""
    field = handler.parsed_fn_signature.return_type
    inner = field.inner_types[0] if field.is_subclass_of(Response) and field.inner_types else field
    plain = inner.origin or inner.annotation
    return inner.annotation if isinstance(plain, type) and issubclass(plain, Struct) else None


def _describe(
    operation: Document, path: str, method: str, handler: HTTPRouteHandler, schema_of: dict[Any, Document]
) -> None:
    text = " ".join((handler.fn.__doc__ or "").split())
    operation |= {
        "operationId": handler.fn.__name__,
        "summary": handler.fn.__name__.replace("_", " ").capitalize(),
        "description": text,
    }
    operation.pop("deprecated", None)
    operation["parameters"] = [_parameter(each) for each in operation.get("parameters", ())] + _headers(method, handler)
    if not handler.opt.get(guards.OPEN):
        operation["security"] = [{SCHEME: []}]
    _describe_body(operation, handler, schema_of)
    _describe_answers(operation, path, method, handler, schema_of)


def _parameter(parameter: Document) -> Document:
    """Text that may be left out is left out; `null` would be text as well."""
    schema = dict(parameter["schema"])
    if schema.get("oneOf") == [{"type": "string"}, {"type": "null"}]:
        schema = schema.pop("oneOf")[0] | schema
    choices = schema.get("oneOf", [{key: schema[key] for key in ("type", "format") if key in schema}])
    if _TIME in choices:
        rest = {key: value for key, value in schema.items() if key not in ("type", "format", "oneOf")}
        schema = {"oneOf": [*choices, _SECONDS]} | rest
    kept = {name: parameter[name] for name in ("name", "in", "required", "description") if name in parameter}
    return kept | {"schema": schema}


def _headers(method: str, handler: HTTPRouteHandler) -> list[Document]:
    """Those that no handler asks for, because they are dealt with before it."""
    found = []
    if method == "POST" and not handler.opt.get(guards.OPEN):
        found.append({"$ref": "#/components/parameters/IdempotencyKey"})
    if handler.opt.get(guards.READS):
        found.append({"$ref": "#/components/parameters/Position"})
    return found


def _describe_body(operation: Document, handler: HTTPRouteHandler, schema_of: dict[Any, Document]) -> None:
    data = handler.parsed_fn_signature.parameters.get("data")
    if data is not None:
        content = {"application/json": {"schema": schema_of[data.annotation]}}
        operation["requestBody"] = {"required": True, "content": content}
    elif (shape := handler.opt.get(guards.DOCUMENT)) is not None:
        shape = {"description": "A workflow document; its schema is at /v1/schemas/workflow.", **shape}
        operation["requestBody"] = {"required": True, "content": {each: {"schema": shape} for each in MEDIA_TYPES}}


def _describe_answers(
    operation: Document, path: str, method: str, handler: HTTPRouteHandler, schema_of: dict[Any, Document]
) -> None:
    usual = operation["responses"].get(str(handler.status_code), {})
    if (answer := _answer(handler)) is not None:
        usual["content"] = {"application/json": {"schema": schema_of[answer]}}
    elif files := handler.opt.get(guards.FILES):
        usual["content"] = {each: {"schema": {} if each == "application/json" else _TEXT} for each in files}
    if method in _WRITES:
        usual["headers"] = {"Fairlead-Position": {"$ref": "#/components/headers/Position"}}
    answers = {str(status): usual | {"description": _phrase(status)} for status in _statuses(handler)}
    problems = {
        str(status): {"$ref": f"#/components/responses/Problem{status}"} for status in _faults(path, method, handler)
    }
    operation["responses"] = dict(sorted((problems | answers).items()))


def _statuses(handler: HTTPRouteHandler) -> tuple[int, ...]:
    return (handler.status_code, *handler.opt.get(guards.ALSO, ()))


def _faults(path: str, method: str, handler: HTTPRouteHandler) -> list[int]:
    found = {400, 431, 500}
    if not handler.opt.get(guards.OPEN):
        found |= {401, 403, 422, 429, 503}
    if "{" in path or handler.parsed_fn_signature.parameters:
        found |= {404}
    if method in _WRITES:
        found |= {404, 409, 413, 415}
    if "if_match" in handler.parsed_fn_signature.parameters:
        found |= {412}
    return sorted(found)


def _kept(shown: Document, components: Document) -> Document:
    """Schemas of parameters and of answers that are not types of ours, as the framework describes them."""
    existing, kept = shown["components"]["schemas"], {}
    waiting = re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(shown["paths"]))
    while waiting:
        name = waiting.pop()
        if name in existing and name not in components and name not in kept:
            kept[name] = existing[name]
            waiting += re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(kept[name]))
    return kept


def _components(schemas: Document) -> Document:
    for name, example in EXAMPLES.items():
        schemas[name]["examples"] = [example]
    text = {"type": "string", "pattern": "^[0-9]{1,18}$"}
    return {
        "schemas": dict(sorted(schemas.items())),
        "responses": {f"Problem{status}": _problem(status) for status in _PROBLEMS},
        "parameters": {
            "IdempotencyKey": {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "Chosen by the caller for one request; kept for 24 hours.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            },
            "Position": {
                "name": "Fairlead-Position",
                "in": "header",
                "required": False,
                "description": "From the answer to a write: wait, two seconds at most, until it can be seen here.",
                "schema": text,
            },
        },
        "headers": {
            "Position": {"description": "The newest place on the log that this answer knows of.", "schema": text},
            "RetryAfter": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}},
        },
        "securitySchemes": {
            SCHEME: {"type": "http", "scheme": "bearer", "bearerFormat": "flk_…", "description": "An API key."}
        },
    }


def _problem(status: int) -> Document:
    code, meaning = _PROBLEMS[status]
    example = {
        "type": type_of(code),
        "title": _phrase(status),
        "status": status,
        "detail": meaning,
        "instance": "/v1/runs",
        "code": code,
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    }
    shape = {"$ref": REF.format(name=ProblemDocument.__name__)}
    headers = {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}} if status in (409, 429, 503) else {}
    return {"description": meaning, "headers": headers, "content": {MEDIA_TYPE: {"schema": shape, "example": example}}}


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase


def _plain(value: Any) -> Any:
    """Whole numbers without a decimal point."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def text() -> str:
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
