"""A bundle as those see it who may not see what is sensitive, which is found by what the bundle says of its tools."""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from fairlead.domain.bundles import Bundle, sealed
from fairlead.domain.masking import has_marks, hidden, names_in, places_alike, places_of, texts_at

_BY_SCHEMA = {"tool_call.requested.v1": "arguments", "tool_call.completed.v1": "output"}

Schemas = Mapping[tuple[str, str], dict[str, Any]]


def behind_masks(bundle: Bundle) -> Bundle:
    """One that was made without masks may come from where nobody marked anything: then it is shown as it is."""
    document = bundle.workflow.document
    of_tools = {(tool.name, "arguments"): tool.input_schema for tool in bundle.tools}
    of_tools |= {(tool.name, "output"): tool.output_schema for tool in bundle.tools}
    schemas = [*of_tools.values(), document.get("input", {}), document.get("output", {})]
    if bundle.masked or not any(map(has_marks, schemas)):
        return bundle
    names, bodies = frozenset[str]().union(*map(names_in, schemas)), [each.body for each in bundle.history]
    known = frozenset(_known(bodies, of_tools, names))
    masked = [_masked(body, of_tools, _tools_in(bodies), names, known) for body in bodies]
    history = [replace(each, body=body) for each, body in zip(bundle.history, masked, strict=True)]
    return sealed(replace(bundle, history=history, masked=True))


def _known(bodies: list[dict[str, Any]], schemas: Schemas, names: frozenset[str]) -> Iterator[str]:
    tools = _tools_in(bodies)
    for body in bodies:
        yield from texts_at(body, places_alike(body, names, frozenset()))
        for event in _events(body):
            if (found := _by_schema(event, schemas, tools)) is not None:
                field, places = found
                yield from texts_at(event[field], places)


def _masked(
    body: dict[str, Any], schemas: Schemas, tools: Mapping[str, str], names: frozenset[str], known: frozenset[str]
) -> dict[str, Any]:
    events = []
    for event in _events(body):
        shown: dict[str, Any] = hidden(event, places_alike(event, names, known))
        if (found := _by_schema(event, schemas, tools)) is not None:
            field, places = found
            shown = {**shown, field: hidden(shown[field], places)}
        events.append(shown)
    return {**body, "events": events}


def _by_schema(event: dict[str, Any], schemas: Schemas, tools: Mapping[str, str]) -> tuple[str, tuple[str, ...]] | None:
    field = _BY_SCHEMA.get(str(event.get("type")))
    if field is None or field not in event:
        return None
    schema = schemas.get((tools.get(str(event.get("call_id")), ""), field))
    return None if schema is None else (field, places_of(schema, event[field]))


def _tools_in(bodies: list[dict[str, Any]]) -> dict[str, str]:
    return {
        str(event.get("call_id")): str(event.get("tool"))
        for body in bodies
        for event in _events(body)
        if event.get("type") == "tool_call.requested.v1"
    }


def _events(body: dict[str, Any]) -> list[dict[str, Any]]:
    events = body.get("events")
    return [each for each in events if isinstance(each, dict)] if isinstance(events, list) else []
