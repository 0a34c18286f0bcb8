"""Carrying an imported operation out: arguments become a request, its answer becomes output."""

import base64
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fairlead_sdk import Call, Effect, HttpAnswer, Refused, Tool
from fairlead_sdk.answers import json_of, succeeded
from fairlead_sdk.importing import ImportedTool, ToolSet, standalone
from fairlead_sdk.redirects import follow

from fairlead_http.files import content_type
from fairlead_http.paging import Pages
from fairlead_http.recipes import Recipe, recipe_of
from fairlead_http.serializing import encoded_body, in_cookie, in_header, in_path, in_query
from fairlead_http.undoing import filled

Arguments = Mapping[str, Any]
MAX_ANSWER_BYTES = 3 * 1024 * 1024  # as an output it may grow by a third
_GONE = (404, 410)
_NOT_MODIFIED = 304


class Prepared:
    """A request that has all but its page."""

    def __init__(self, recipe: Recipe, arguments: Arguments, call: Call) -> None:
        self.url = _base(recipe, call) + _path(recipe, arguments)
        self.query = [
            pair
            for each in recipe.parameters
            if each.place == "query" and each.argument in arguments
            for pair in in_query(each, arguments[each.argument])
        ]
        self.headers = _headers(recipe, arguments, call)
        sends = recipe.body is not None and recipe.body.argument in arguments
        self.body = encoded_body(recipe.body, arguments[recipe.body.argument]) if recipe.body and sends else b""
        if recipe.body and sends:
            self.headers["Content-Type"] = content_type(recipe.body, self.body)


def tool_of(tool_set: ToolSet, imported: ImportedTool) -> Tool[Any, Any]:
    return Tool(
        name=imported.name,
        title=imported.title,
        description=imported.description,
        input=standalone(imported.input, tool_set.definitions),
        output=standalone(imported.output, tool_set.definitions),
        run=_runner(recipe_of(imported.recipe), imported.effect),
        effect=imported.effect,
        idempotency=imported.idempotency,
        timeout_s=imported.timeout_s,
        scopes=imported.scopes,
        writes=imported.writes,
        compensate=_undoer(recipe_of(imported.recipe)),
    )


def _undoer(recipe: Recipe) -> Callable[[Any, Any, Call], Awaitable[None]] | None:
    undo = recipe.undo
    if undo is None:
        return None

    async def compensate(arguments: Any, output: Any, call: Call) -> None:
        asked, given = filled(undo, arguments, output)
        prepared = Prepared(asked, given, call)
        answer = await _ask(asked, prepared, prepared.query, call)
        if asked.method != "DELETE" or answer.status not in _GONE:  # whoever deleted it, it is gone
            succeeded(answer, Effect.WRITE)

    return compensate


def _runner(recipe: Recipe, effect: Effect) -> Callable[[Any, Call], Awaitable[Any]]:
    async def run(arguments: Any, call: Call) -> Any:
        prepared = Prepared(recipe, arguments, call)
        if recipe.pagination is not None:
            return await _paged(recipe, prepared, arguments, call)
        answer = await _ask(recipe, prepared, prepared.query, call)
        tag = {"etag": answer.headers.get("etag")} if recipe.tagged else {}
        if _is_done_already(recipe, answer, call) or _is_as_known(recipe, answer):
            return {"status": answer.status, "body": None, **tag}
        return {"status": answer.status, "body": _content(recipe, succeeded(answer, effect), effect), **tag}

    return run


async def _ask(recipe: Recipe, prepared: Prepared, query: list[str], call: Call, url: str | None = None) -> HttpAnswer:
    mark = "&" if "?" in prepared.url else "?"
    address = url or (f"{prepared.url}{mark}{'&'.join(query)}" if query else prepared.url)
    if recipe.method == "GET" and not prepared.body:
        return await follow(
            call.http,
            address,
            headers=prepared.headers,
            authorized=recipe.authorized,
            max_bytes=MAX_ANSWER_BYTES,
        )
    return await call.http.send(
        recipe.method,
        address,
        headers=prepared.headers,
        body=prepared.body,
        authorized=recipe.authorized,
        max_bytes=MAX_ANSWER_BYTES,
    )


async def _paged(recipe: Recipe, prepared: Prepared, arguments: Arguments, call: Call) -> dict[str, Any]:
    """Pages one after the other, as far as was asked and as fits. What comes after is named."""
    assert recipe.pagination is not None, "the caller has looked"
    pages = Pages(recipe.pagination, prepared.url, arguments.get("next_page"))
    wanted, size_bytes = arguments.get("pages", 1), 0
    while True:
        answer = await _ask(recipe, prepared, pages.query(prepared.query), call, pages.address)
        status = succeeded(answer, Effect.READ).status
        size_bytes += len(answer.body)
        pages.add(json_of(answer, Effect.READ), answer)
        wanted -= 1
        if not wanted or pages.next is None or size_bytes + len(answer.body) > MAX_ANSWER_BYTES:
            return {"status": status, "body": pages.body, "next_page": pages.next}


def _content(recipe: Recipe, answer: HttpAnswer, effect: Effect) -> Any:
    match recipe.answer:
        case "none":
            return None
        case "json":
            return json_of(answer, effect)
        case "text":
            return answer.body.decode(errors="replace")
        case "binary":
            return base64.b64encode(answer.body).decode()


def _is_done_already(recipe: Recipe, answer: HttpAnswer, call: Call) -> bool:
    """What an earlier attempt of this very call has deleted is gone."""
    return recipe.method == "DELETE" and call.attempt > 1 and answer.status in _GONE


def _is_as_known(recipe: Recipe, answer: HttpAnswer) -> bool:
    """What was asked for only if it has changed has not."""
    return recipe.tagged and recipe.method == "GET" and answer.status == _NOT_MODIFIED


def _base(recipe: Recipe, call: Call) -> str:
    """Raises Refused where nobody has said where the service is."""
    named = call.connection.config.get("base_url", "").rstrip("/") if call.connection and not recipe.fixed else ""
    if named:
        return named if recipe.server.startswith(("http://", "https://")) else named + recipe.server
    if not recipe.server.startswith(("http://", "https://")):
        raise Refused("the connection does not say where the service is: give it a base_url", "no_address")
    return recipe.server


def _path(recipe: Recipe, arguments: Arguments) -> str:
    path = recipe.path
    for each in recipe.parameters:
        if each.place == "path":
            path = path.replace(f"{{{each.name}}}", in_path(each, arguments[each.argument]))
    return path


def _headers(recipe: Recipe, arguments: Arguments, call: Call) -> dict[str, str]:
    headers = {"Accept": recipe.accept} if recipe.accept else {}
    cookies: list[str] = []
    for each in recipe.parameters:
        if each.argument not in arguments:
            continue
        if each.place == "header":
            headers[each.name] = in_header(each, arguments[each.argument])
        elif each.place == "cookie":
            cookies += in_cookie(each, arguments[each.argument])
    if cookies:
        headers["Cookie"] = "; ".join(cookies)
    if recipe.key_header:
        headers[recipe.key_header] = call.idempotency_key
    return headers
