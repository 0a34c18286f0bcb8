"""The two eras of the protocol: sessions that begin with a handshake, and requests that each say everything.

Which one a request is of follows from its header `MCP-Protocol-Version`; the handshake itself has none.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from fairlead.api.mcp.messages import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    UNSUPPORTED_VERSION,
    Message,
    RpcError,
)

Era = Literal["handshake", "stateless"]

VERSION = "mcp-protocol-version"
METHOD = "mcp-method"
NAME = "mcp-name"
STATELESS_VERSION = "2026-07-28"
HANDSHAKE_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
VERSIONS = (*HANDSHAKE_VERSIONS, STATELESS_VERSION)

VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
CLIENT_KEY = "io.modelcontextprotocol/clientInfo"
SERVER_KEY = "io.modelcontextprotocol/serverInfo"

_NAMED = {"tools/call": "name"}
_STATUS_OF = {  # of the stateless era; a session's errors are answers like others
    PARSE_ERROR: 400,
    INVALID_REQUEST: 400,
    INVALID_PARAMS: 400,
    HEADER_MISMATCH: 400,
    UNSUPPORTED_VERSION: 400,
    METHOD_NOT_FOUND: 404,
}
_ENCODED = ("=?base64?", "?=")


def era_of(headers: Mapping[str, str], message: Message) -> Era:
    """Raises RpcError for a version that nobody here speaks."""
    version = headers.get(VERSION)
    if message.method == "initialize" or version is None or version in HANDSHAKE_VERSIONS:
        return "handshake"
    if version != STATELESS_VERSION:
        data = {"supported": [*VERSIONS], "requested": version[:40]}
        raise RpcError(UNSUPPORTED_VERSION, "this version of the protocol is not spoken here", data, 400)
    return "stateless"


def negotiated(offered: Any) -> str:
    return offered if offered in HANDSHAKE_VERSIONS else HANDSHAKE_VERSIONS[-1]


def check_envelope(raw: Iterable[tuple[bytes, bytes]], headers: Mapping[str, str], message: Message) -> None:
    """What a request says twice, it says alike: whatever routes by headers sees what is done. Raises RpcError."""
    meta = message.params.get("_meta")
    if not isinstance(meta, dict) or VERSION_KEY not in meta or CAPABILITIES_KEY not in meta:
        raise RpcError(INVALID_PARAMS, f"params._meta must have {VERSION_KEY} and {CAPABILITIES_KEY}")
    names = [name for name, _ in raw]
    if any(names.count(each.encode()) > 1 for each in (VERSION, METHOD, NAME)):
        raise RpcError(HEADER_MISMATCH, "a header of the protocol stands twice")
    said = {VERSION: meta[VERSION_KEY], METHOD: message.method}
    if message.method in _NAMED:
        said[NAME] = message.params.get(_NAMED[message.method])
    for header, value in said.items():
        if plain(headers.get(header)) != value:
            raise RpcError(HEADER_MISMATCH, f"the header {header} is not what the body says")


def plain(value: str | None) -> str | None:
    """A header's text. One that no header can carry comes in base64; what is broken is like nothing."""
    before, after = _ENCODED
    if value is None or not (value.startswith(before) and value.endswith(after)):
        return value
    try:
        return base64.b64decode(value[len(before) : -len(after)], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def http_status(refused: RpcError, era: Era) -> int:
    if refused.http_status is not None:
        return refused.http_status
    return _STATUS_OF.get(refused.code, 200) if era == "stateless" else 200


def dressed(found: dict[str, Any], era: Era, server: Mapping[str, Any]) -> dict[str, Any]:
    """A result as its era wants it."""
    if era == "handshake":
        return found
    meta = {**found.get("_meta", {}), SERVER_KEY: server}
    return {"resultType": "complete", **found, "_meta": meta}
