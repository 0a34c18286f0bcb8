"""A ticket desk and a connector for it that keeps every promise, for tests to break one at a time."""

from typing import Annotated, Any

import msgspec
from fairlead_sdk import (
    Access,
    Auth,
    AuthKind,
    Call,
    Effect,
    HttpAnswer,
    Idempotency,
    Manifest,
    Scope,
    Tool,
    tool,
)
from fairlead_sdk.answers import json_of, succeeded
from fairlead_sdk.testing import Counterpart, Request
from msgspec import Meta, Struct

URL = "https://desk.example.com/tickets"


class NewTicket(Struct, frozen=True, forbid_unknown_fields=True):
    title: Annotated[str, Meta(min_length=1, max_length=100)]


class TicketNumber(Struct, frozen=True, forbid_unknown_fields=True):
    number: int


class TicketView(Struct, frozen=True, forbid_unknown_fields=True):
    number: int
    title: str
    priority: str


class Priority(Struct, frozen=True, forbid_unknown_fields=True):
    number: int
    priority: str


def ticket_in(answer: HttpAnswer, effect: Effect) -> TicketView:
    return msgspec.convert(json_of(succeeded(answer, effect), effect), TicketView)


async def seek(arguments: NewTicket, call: Call) -> TicketView | None:
    answer = await call.http.send("GET", f"{URL}?key={call.idempotency_key}")
    found = json_of(succeeded(answer, Effect.READ), Effect.READ)
    return msgspec.convert(found[0], TicketView) if found else None


async def show_before(arguments: NewTicket, call: Call) -> dict[str, Any]:
    return {"before": None, "after": {"title": arguments.title}}


async def close(arguments: NewTicket, output: TicketView, call: Call) -> None:
    answer = await call.http.send("DELETE", f"{URL}/{output.number}")
    if answer.status != 404:
        succeeded(answer, Effect.WRITE)


@tool(
    "desk.open_ticket",
    title="Open a ticket",
    effect=Effect.WRITE,
    idempotency=Idempotency.KEY,
    scopes=("tickets.write",),
    writes=("ticket",),
    verify=seek,
    preview=show_before,
    compensate=close,
)
async def open_ticket(arguments: NewTicket, call: Call) -> TicketView:
    """Open a ticket under a title."""
    headers = {"idempotency-key": call.idempotency_key}
    answer = await call.http.send("POST", URL, headers=headers, body=msgspec.json.encode(arguments))
    return ticket_in(answer, Effect.WRITE)


@tool(
    "desk.set_priority",
    title="Set a priority",
    effect=Effect.WRITE,
    idempotency=Idempotency.NATURAL,
    scopes=("tickets.write",),
    writes=("ticket",),
)
async def set_priority(arguments: Priority, call: Call) -> TicketView:
    """Give a ticket its priority."""
    body = msgspec.json.encode({"priority": arguments.priority})
    return ticket_in(await call.http.send("PATCH", f"{URL}/{arguments.number}", body=body), Effect.WRITE)


async def show_many(arguments: list[TicketNumber], calls: list[Call]) -> list[TicketView | Exception]:
    return [await show.run(each, call) for each, call in zip(arguments, calls, strict=True)]


@tool(
    "desk.show_ticket",
    title="Show a ticket",
    effect=Effect.READ,
    idempotency=Idempotency.NATURAL,
    scopes=("tickets.read",),
    max_batch=10,
    run_many=show_many,
)
async def show(arguments: TicketNumber, call: Call) -> TicketView:
    """Look at a ticket."""
    return ticket_in(await call.http.send("GET", f"{URL}/{arguments.number}"), Effect.READ)


def manifest(*tools: Tool[Any, Any], **fields: Any) -> Manifest:
    complete: dict[str, Any] = {
        "name": "desk",
        "title": "Ticket desk",
        "version": "1.0.0",
        "tools": tools or (open_ticket, set_priority, show),
        "auth": Auth(kind=AuthKind.API_KEY),
        "scopes": (
            Scope(name="tickets.read", access=Access.READ, title="Look at tickets"),
            Scope(name="tickets.write", access=Access.WRITE, title="Open and change tickets"),
        ),
        "egress": ("desk.example.com",),
    }
    return Manifest(**(complete | fields))


class DeskConnector:
    def __init__(self, said: Manifest | None = None) -> None:
        self.manifest = said or manifest()


class Desk(Counterpart):
    """Honours `Idempotency-Key` for POST."""

    def __init__(self) -> None:
        self.tickets: dict[int, dict[str, Any]] = {}
        self.made: dict[str, int] = {}

    async def state(self) -> Any:
        return self.tickets

    async def answer(self, request: Request) -> HttpAnswer:
        if "planted" not in request.headers.get("authorization", ""):
            return HttpAnswer(status=401, headers={}, body=b"")
        number = request.path.removeprefix("/tickets").strip("/")
        if number:
            return self._one(request, int(number))
        if request.method == "POST":
            return _said(201, self._opened(request))
        key = request.url.partition("?key=")[2]
        return _said(200, [self.tickets[self.made[key]]] if self.made.get(key) in self.tickets else [])

    def _opened(self, request: Request) -> dict[str, Any]:
        number = len(self.tickets) + 1
        if key := request.headers.get("idempotency-key"):
            number = self.made.setdefault(key, number)
        title = msgspec.json.decode(request.body)["title"]
        return self.tickets.setdefault(number, {"number": number, "title": title, "priority": "normal"})

    def _one(self, request: Request, number: int) -> HttpAnswer:
        if number not in self.tickets:
            return HttpAnswer(status=404, headers={}, body=b"")
        if request.method == "DELETE":
            del self.tickets[number]
            return HttpAnswer(status=204, headers={}, body=b"")
        if request.method == "PATCH":
            self.tickets[number] |= msgspec.json.decode(request.body)
        return _said(200, self.tickets[number])


def _said(status: int, body: Any) -> HttpAnswer:
    return HttpAnswer(status=status, headers={"Content-Type": "application/json"}, body=msgspec.json.encode(body))
