"""One message of JSON-RPC, as it is taken and as it is answered. Batches are not taken, and no answers of clients."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from fairlead.api.bodies import decoded
from fairlead.api.problems import MalformedBody
from fairlead.domain.errors import Invalid

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
REFUSED = -32000  # `data` has the code of what refused, as REST has it
HEADER_MISMATCH = -32020
UNSUPPORTED_VERSION = -32022

MAX_ID = 100
RequestId = Annotated[int, Meta(ge=-(2**53), le=2**53)] | Annotated[str, Meta(max_length=MAX_ID)]
_encode = msgspec.json.Encoder().encode


class Message(Struct, frozen=True, kw_only=True):
    """A request, or without `id` a notification."""

    jsonrpc: Literal["2.0"]
    method: Annotated[str, Meta(min_length=1, max_length=100)]
    id: RequestId | UnsetType = UNSET
    params: dict[str, Any] = {}

    @property
    def meta(self) -> dict[str, Any]:
        found = self.params.get("_meta")
        return found if isinstance(found, dict) else {}


class RpcError(Exception):
    """What is said in JSON-RPC. `http_status` None: as the era of the message has it."""

    def __init__(self, code: int, message: str, data: Any = None, http_status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
        self.http_status = http_status


def message_of(body: bytes) -> Message:
    """Raises RpcError."""
    try:
        found = decoded(body)
    except (MalformedBody, Invalid):
        raise RpcError(PARSE_ERROR, "the body is not JSON", http_status=400) from None
    if isinstance(found, list):
        raise RpcError(INVALID_REQUEST, "batches are not taken: send one message", http_status=400)
    try:
        return msgspec.convert(found, Message)
    except msgspec.ValidationError:
        raise RpcError(INVALID_REQUEST, "the body is no request and no notification", http_status=400) from None


def result(request_id: RequestId, found: dict[str, Any]) -> bytes:
    return _encode({"jsonrpc": "2.0", "id": request_id, "result": found})


def error(request_id: RequestId | UnsetType, refused: RpcError) -> bytes:
    said = {"code": refused.code, "message": refused.message}
    if refused.data is not None:
        said["data"] = refused.data
    return _encode({"jsonrpc": "2.0", "id": None if request_id is UNSET else request_id, "error": said})


def progress(token: Any, step: int, message: str) -> bytes:
    params = {"progressToken": token, "progress": step, "message": message}
    return _encode({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})


def as_event(message: bytes) -> bytes:
    """For a stream of server-sent events. JSON has no line breaks of its own."""
    return b"event: message\ndata: %s\n\n" % message
