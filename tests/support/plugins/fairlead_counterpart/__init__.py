"""A third-party connector for tests: talks HTTP to `tests.support.counterpart`, which counts what really happened."""

from typing import Any

import httpx2
from fairlead_sdk import (
    Access,
    Call,
    Effect,
    Idempotency,
    Manifest,
    OutcomeUnknown,
    Refused,
    Scope,
    TryLater,
    hookimpl,
    tool,
)
from fairlead_sdk.hookspecs import Register
from msgspec import Struct


class Transfer(Struct, forbid_unknown_fields=True):
    reference: str
    amount_minor: int


class Receipt(Struct, forbid_unknown_fields=True):
    reference: str
    number: int


_clients: dict[str, httpx2.AsyncClient] = {}


async def _ask(call: Call, method: str, path: str, **rest: Any) -> httpx2.Response:
    url = call.settings["url"]
    client = _clients.get(url)
    if client is None:
        client = _clients[url] = httpx2.AsyncClient(base_url=url, trust_env=False, verify=False, timeout=4.0)
    try:
        answer = await client.request(method, path, **rest)
    except httpx2.ConnectError as error:
        raise TryLater("the counterpart is not there") from error
    except httpx2.TransportError as error:
        raise OutcomeUnknown("no answer from the counterpart") from error
    if answer.status_code >= 500:
        raise TryLater("the counterpart is busy")
    return answer


async def _paid(arguments: Transfer, call: Call) -> Receipt | None:
    found = (await _ask(call, "GET", f"/payments/{call.idempotency_key}")).json()
    return Receipt(arguments.reference, found["number"]) if found else None


async def _refunded(_: Transfer, output: Receipt, call: Call) -> None:
    headers = {"Idempotency-Key": call.idempotency_key}
    answer = await _ask(call, "POST", "/refunds", json={"number": output.number}, headers=headers)
    if answer.status_code == 409:
        raise Refused("the counterpart keeps it", "kept")


@tool(
    "counterpart.pay",
    title="Pay",
    effect=Effect.WRITE,
    idempotency=Idempotency.KEY,
    writes=("payment",),
    scopes=("payments:write",),
    verify=_paid,
    compensate=_refunded,
)
async def pay(arguments: Transfer, call: Call) -> Receipt:
    """Pay an amount under a reference; the counterpart honours idempotency keys."""
    body = {"reference": arguments.reference, "amount_minor": arguments.amount_minor}
    answer = await _ask(call, "POST", "/payments", json=body, headers={"Idempotency-Key": call.idempotency_key})
    return Receipt(arguments.reference, answer.json()["number"])


async def _sent(arguments: Transfer, call: Call) -> Receipt | None:
    found = (await _ask(call, "GET", f"/letters/{arguments.reference}")).json()
    return Receipt(arguments.reference, found["number"]) if found else None


@tool(
    "counterpart.send_letter",
    title="Send a letter",
    effect=Effect.WRITE,
    idempotency=Idempotency.NONE,
    writes=("letter",),
    scopes=("letters:write",),
    verify=_sent,
)
async def send_letter(arguments: Transfer, call: Call) -> Receipt:
    """Send a letter about a reference; the counterpart sends another one each time it is asked."""
    body = {"reference": arguments.reference, "amount_minor": arguments.amount_minor}
    answer = await _ask(call, "POST", "/letters", json=body)
    return Receipt(arguments.reference, answer.json()["number"])


@tool(
    "counterpart.put_stamp",
    title="Put a stamp",
    effect=Effect.WRITE,
    idempotency=Idempotency.NATURAL,
    writes=("stamp",),
    scopes=("letters:write",),
)
async def put_stamp(arguments: Transfer, call: Call) -> Receipt:
    """Put a stamp on what has the reference; one that is there already stays as it is."""
    answer = await _ask(call, "POST", "/stamps", json={"reference": arguments.reference})
    return Receipt(arguments.reference, answer.json()["number"])


@tool(
    "counterpart.shout",
    title="Shout",
    effect=Effect.WRITE,
    idempotency=Idempotency.NONE,
    writes=("shout",),
    scopes=("letters:write",),
)
async def shout(arguments: Transfer, call: Call) -> Receipt:
    """Shout a reference; nobody can tell afterwards whether somebody did."""
    answer = await _ask(call, "POST", "/shouts", json={"reference": arguments.reference})
    return Receipt(arguments.reference, answer.json()["number"])


@tool(
    "counterpart.look",
    title="Look up",
    effect=Effect.READ,
    idempotency=Idempotency.NATURAL,
    scopes=("payments:read",),
)
async def look(arguments: Transfer, call: Call) -> Receipt:
    """Count the payments made under any reference so far."""
    answer = await _ask(call, "GET", "/payments")
    return Receipt(arguments.reference, len(answer.json()))


class _Counterpart:
    manifest = Manifest(
        name="counterpart",
        title="Counterpart",
        version="1.0.0",
        tools=(pay, send_letter, put_stamp, shout, look),
        settings=("url",),
        scopes=(
            Scope(name="payments:read", access=Access.READ, title="Look into payments"),
            Scope(name="payments:write", access=Access.WRITE, title="Pay"),
            Scope(name="letters:write", access=Access.WRITE, title="Send letters"),
        ),
    )


@hookimpl
def register_connectors(register: Register) -> None:
    register(_Counterpart())
