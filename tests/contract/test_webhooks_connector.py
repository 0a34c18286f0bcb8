"""Outgoing webhooks, against a receiver that checks signatures with the specification's own library."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest
from fairlead_sdk import (
    BadArguments,
    Call,
    Connection,
    Credential,
    HttpAnswer,
    NeedsReconnect,
    OutcomeUnknown,
    Refused,
    TryLater,
)
from fairlead_sdk.conformance import ConnectorSuite
from fairlead_sdk.testing import Counterpart, Example, Request
from standardwebhooks import Webhook, WebhookVerificationError

from fairlead.adapters.outbound import GuardedOutbound
from fairlead_webhooks import WebhooksConnector
from fairlead_webhooks.sending import Event, Sent, send_event
from tests.support.flaky_http import Asked, FlakyServer, reply, reset
from tests.support.outbound import way

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # the one of the specification's examples
STAGED = Event(type="invoice.staged", data={"number": "4711", "amount": 5, "lines": ["a", "b"], "by": {"id": 7}})


class Receiver(Counterpart):
    """Takes each message id once, as the specification asks of receivers."""

    def __init__(self) -> None:
        self.taken: dict[str, bytes] = {}

    async def answer(self, request: Request) -> HttpAnswer:
        self.taken.setdefault(request.headers["webhook-id"], request.body)
        return HttpAnswer(status=204, headers={}, body=b"")

    async def state(self) -> Any:
        return sorted(self.taken)


class TestWebhooks(ConnectorSuite):
    connector = WebhooksConnector
    counterpart = Receiver
    shipped = True
    config: ClassVar = {"url": "https://hooks.example/in"}
    examples = (Example(tool="webhooks.send_event", arguments={"type": "invoice.staged", "data": {"number": "4711"}}),)


@asynccontextmanager
async def receiving(secret: str = SECRET) -> AsyncIterator[tuple[FlakyServer, Call]]:
    async with (
        FlakyServer.at() as server,
        GuardedOutbound(private_networks=["127.0.0.1/32"], plain_http=[server.authority]) as outbound,
    ):
        yield server, call_to(server, outbound, secret)


def call_to(server: FlakyServer, outbound: GuardedOutbound, secret: str) -> Call:
    connection = Connection(
        connection_id="con_1", config={"url": server.url("/in")}, credential=Credential(secret=secret)
    )
    return Call(
        call_id="tcl_1",
        attempt=1,
        idempotency_key="tcl_1",
        settings={},
        connection=connection,
        http=outbound.http(way(server)),
    )


def verified(asked: Asked) -> Any:
    """What the receiver makes of it. Raises WebhookVerificationError."""
    return Webhook(SECRET).verify(asked.body, asked.headers)


async def test_a_receiver_that_knows_the_secret_verifies_what_was_sent() -> None:
    async with receiving() as (server, call):
        sent = await send_event.run(STAGED, call)
    assert sent == Sent(message_id="msg_tcl_1", status=200)
    (asked,) = server.asked
    event = verified(asked)
    assert (event["type"], event["data"]) == (STAGED.type, STAGED.data)
    assert (asked.method, asked.headers["webhook-id"]) == ("POST", "msg_tcl_1")


async def test_the_secret_itself_is_not_sent() -> None:
    async with receiving() as (server, call):
        await send_event.run(STAGED, call)
    (asked,) = server.asked
    assert "authorization" not in asked.headers
    assert SECRET.removeprefix("whsec_") not in str(asked)


async def test_what_was_changed_on_the_way_is_not_verified() -> None:
    async with receiving() as (server, call):
        await send_event.run(STAGED, call)
    (asked,) = server.asked
    changed = Asked(asked.method, asked.target, asked.headers, asked.body.replace(b"4711", b"4712"), 1)
    with pytest.raises(WebhookVerificationError):
        verified(changed)


async def test_a_repeated_call_is_the_same_message() -> None:
    async with receiving() as (server, call):
        await asyncio.gather(send_event.run(STAGED, call), send_event.run(STAGED, call))
    assert {asked.headers["webhook-id"] for asked in server.asked} == {"msg_tcl_1"}


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (410, Refused, "gone"),
        (400, BadArguments, "bad_request"),
        (429, TryLater, "rate_limited"),
        (503, TryLater, "http_503"),
        (302, Refused, "redirected"),
        (500, OutcomeUnknown, "http_500"),
    ],
)
async def test_a_refusal_says_what_to_do_next(status: int, error: type[Exception], code: str) -> None:
    async with receiving() as (server, call):
        server.answers["/in"] = reply(status)
        with pytest.raises(error) as raised:
            await send_event.run(STAGED, call)
    assert raised.value.code == code  # type: ignore[attr-defined]  # every ToolError has one


async def test_a_lost_answer_is_an_unknown_outcome() -> None:
    async with receiving() as (server, call):
        server.answers["/in"] = reset
        with pytest.raises(OutcomeUnknown):
            await send_event.run(STAGED, call)


@pytest.mark.parametrize("secret", ["", "short", "whsec_", "whsec_!!!", "whsec_c2hvcnQ=", "x" * 65])
async def test_a_secret_that_is_none_asks_for_another_and_sends_nothing(secret: str) -> None:
    async with receiving(secret) as (server, call):
        with pytest.raises(NeedsReconnect) as raised:
            await send_event.run(STAGED, call)
    assert server.asked == []
    assert not secret or secret not in str(raised.value)


async def test_an_event_past_the_limit_is_not_sent() -> None:
    large = Event(type="a", data={f"k{number}": "x" * 19_000 for number in range(4)})
    async with receiving() as (server, call):
        with pytest.raises(Refused):
            await send_event.run(large, call)
    assert server.asked == []
