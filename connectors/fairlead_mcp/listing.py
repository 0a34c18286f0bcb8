"""What a server offers, as a document that can be looked at and imported."""

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from fairlead_sdk import Call, Effect, Idempotency, Refused, tool
from msgspec import Meta, Struct

from fairlead_mcp.sessions import asked

if TYPE_CHECKING:
    from mcp import Client

MAX_PAGES = 20
MAX_DOCUMENT = 1024 * 1024


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Offer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`document` is JSON: import it as a tool set. `protocol` is the version that was spoken."""

    protocol: str
    server: str
    document: Annotated[str, Meta(max_length=MAX_DOCUMENT)]


@tool(
    "mcp.list_tools",
    title="List a server's tools",
    effect=Effect.READ,
    idempotency=Idempotency.NATURAL,
    timeout_s=20.0,
)
async def list_tools(_arguments: Nothing, call: Call) -> Offer:
    """Ask a server which tools it has. The answer can be imported; what it says of itself is not taken on trust."""
    return await asked(call, _offer)


async def _offer(client: "Client") -> Offer:
    tools: list[Any] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        tools += [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in page.tools]
        cursor = page.next_cursor
        if cursor is None:
            break
    document = msgspec.json.encode({"tools": tools}).decode()
    if len(document) > MAX_DOCUMENT:
        raise Refused("the server has more tools than can be listed", "too_large")
    who = client.server_info
    return Offer(protocol=client.protocol_version, server=f"{who.name} {who.version}" if who else "", document=document)
