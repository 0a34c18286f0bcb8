"""Two tools for services without a description: what stands at a path, and sending something to one."""

from typing import Annotated, Any, Literal

import msgspec
from fairlead_sdk import BadArguments, Call, Effect, Idempotency, Refused, Tool, tool
from fairlead_sdk.answers import succeeded
from fairlead_sdk.outbound import HttpAnswer
from fairlead_sdk.redirects import follow
from msgspec import Meta, Struct

MAX_ANSWER_BYTES = 1024 * 1024

Path = Annotated[str, Meta(pattern=r"^/[!-~]*$", max_length=2000, description="Path and query, after the base URL.")]


class GetResource(Struct, frozen=True, forbid_unknown_fields=True):
    path: Path


class SendRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    method: Literal["POST", "PUT", "PATCH", "DELETE"]
    path: Path
    json: Annotated[str, Meta(max_length=1_000_000, description="The body as JSON text; nothing for none.")] = ""


class Answered(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`body` is the answer's text, which is JSON where `is_json` says so."""

    status: int
    body: Annotated[str, Meta(max_length=MAX_ANSWER_BYTES)]
    is_json: bool


@tool("http.get_resource", title="Get a resource", effect=Effect.READ, idempotency=Idempotency.NATURAL, timeout_s=30.0)
async def get_resource(arguments: GetResource, call: Call) -> Answered:
    """Reads what stands at a path of the service that the connection names."""
    answer = await follow(call.http, _address(call, arguments.path), max_bytes=MAX_ANSWER_BYTES)
    return _answered(succeeded(answer, Effect.READ))


@tool(
    "http.send_request",
    title="Send a request",
    effect=Effect.DESTRUCTIVE,
    idempotency=Idempotency.NONE,
    writes=("http.resource",),
    timeout_s=30.0,
)
async def send_request(arguments: SendRequest, call: Call) -> Answered:
    """Sends a request that changes something to the service that the connection names."""
    headers = {"Idempotency-Key": call.idempotency_key}
    if arguments.json:
        headers["Content-Type"] = "application/json"
    answer = await call.http.send(
        arguments.method,
        _address(call, arguments.path),
        headers=headers,
        body=_json(arguments.json),
        max_bytes=MAX_ANSWER_BYTES,
    )
    return _answered(succeeded(answer, Effect.DESTRUCTIVE))


def _json(text: str) -> bytes:
    """Raises BadArguments."""
    if not text:
        return b""
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise BadArguments("json is not JSON", "bad_json") from None
    return text.encode()


def _address(call: Call, path: str) -> str:
    if call.connection is None or not call.connection.config.get("base_url"):
        raise Refused("the connection does not say where the service is", "no_address")
    return call.connection.config["base_url"].rstrip("/") + path


def _answered(answer: HttpAnswer) -> Answered:
    is_json = "json" in answer.headers.get("content-type", "")
    return Answered(status=answer.status, body=answer.body.decode(errors="replace"), is_json=is_json)


TOOLS: tuple[Tool[Any, Any], ...] = (get_resource, send_request)
