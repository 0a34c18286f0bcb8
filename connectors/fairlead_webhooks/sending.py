"""One event to one receiver, which tells repetitions apart by `webhook-id`: it is the same across attempts."""

import time
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from fairlead_sdk import Call, Effect, Idempotency, NeedsReconnect, Refused, tool
from fairlead_sdk.answers import succeeded
from fairlead_sdk.webhook_signing import key_of, signature
from msgspec import Meta, Struct

MAX_BODY_BYTES = 64 * 1024
MAX_ANSWER_BYTES = 16 * 1024  # it is not read

Scalar = str | int | float | bool | None
Text = Annotated[str, Meta(max_length=20_000)]
Value = Text | int | float | bool | None | list[Scalar] | dict[str, Scalar]


class Event(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`type` is full-stop delimited, as `invoice.staged`."""

    type: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)*$", max_length=200)]
    data: Annotated[dict[str, Value], Meta(max_length=200)]


class Sent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    message_id: str
    status: int


class _Body(Struct, frozen=True):
    type: str
    timestamp: str
    data: dict[str, Value]


@tool(
    "webhooks.send_event",
    title="Send an event",
    effect=Effect.WRITE,
    idempotency=Idempotency.KEY,
    writes=("webhook_event",),
    timeout_s=15.0,
)
async def send_event(arguments: Event, call: Call) -> Sent:
    """Send an event to the receiver of this connection, signed so that it can tell who sent it."""
    connection = call.connection
    if connection is None or connection.credential is None:
        raise NeedsReconnect("the receiver has no secret yet", "no_secret")
    key, now_s = key_of(connection.credential.secret), int(time.time())
    body = msgspec.json.encode(_Body(arguments.type, _instant(now_s), arguments.data))
    if len(body) > MAX_BODY_BYTES:
        raise Refused(f"the event has {len(body)} bytes, the limit is {MAX_BODY_BYTES}", "event_too_large")
    message_id = f"msg_{call.idempotency_key}"
    headers = {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": signature(key, message_id, now_s, body),
    }
    answer = await call.http.send(
        "POST",
        connection.config["url"],
        headers=headers,
        body=body,
        authorized=False,
        max_bytes=MAX_ANSWER_BYTES,
    )
    return Sent(message_id=message_id, status=succeeded(answer, Effect.WRITE).status)


def _instant(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
