"""Look up, refund, delete. A refund never comes to more than was paid, and once per key."""

import sqlite3
from typing import Annotated, Any, Literal

from fairlead_sdk import SENSITIVE, Call, Effect, Idempotency, Refused, tool
from msgspec import Meta, Struct

from fairlead_support.desk import ask

Email = Annotated[str, Meta(min_length=3, max_length=200, pattern=r"^[^@\s]+@[^@\s]+$", extra_json_schema=SENSITIVE)]
OrderNumber = Annotated[str, Meta(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9-]+$")]
Minor = Annotated[int, Meta(ge=0, le=10**12, description="Minor units of the currency: cents.")]

_CUSTOMER = "SELECT email, name, since FROM customers WHERE email = ?"
_ORDERS = "SELECT number FROM orders WHERE email = ? ORDER BY placed_on DESC, number LIMIT 20"
_ORDER = """
SELECT number, email, placed_on, status, currency, total_minor, note,
       (SELECT coalesce(sum(amount_minor), 0) FROM refunds WHERE order_number = number) AS refunded_minor
  FROM orders
 WHERE number = ?
"""
_REFUND = "SELECT key, order_number, amount_minor, reason FROM refunds WHERE key = ?"
_INSERT = "INSERT INTO refunds (key, order_number, amount_minor, reason) VALUES (?, ?, ?, ?)"
_DELETE = "DELETE FROM customers WHERE email = ?"


class WhichCustomer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    email: Email


class WhichOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    number: OrderNumber


class RefundOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`currency` is that of the order, said again so that whoever judges the call sees it."""

    number: OrderNumber
    amount_minor: Annotated[int, Meta(ge=1, le=10**12, description="Minor units of the currency: cents.")]
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$")]
    reason: Annotated[str, Meta(min_length=1, max_length=500)]


class FoundCustomer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    found: bool
    name: str = ""
    since: str = ""
    orders: list[str] = []


class Order(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`note` is what the customer wrote."""

    number: str
    email: Annotated[str, Meta(extra_json_schema=SENSITIVE)]
    placed_on: str
    status: Literal["open", "shipped", "delivered", "cancelled"]
    currency: str
    total_minor: Minor
    refunded_minor: Minor
    note: str


class FoundOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    found: bool
    order: Order | None = None


class Refund(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    number: str
    amount_minor: Minor
    refunded_minor: Annotated[int, Meta(ge=0, description="All refunds of the order together.")]


class Deleted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    deleted: bool


@tool(
    "support.find_customer",
    title="Find a customer",
    effect=Effect.READ,
    idempotency=Idempotency.NATURAL,
    scopes=("desk:read",),
)
async def find_customer(arguments: WhichCustomer, call: Call) -> FoundCustomer:
    """A customer by e-mail address, with the numbers of the newest orders."""

    def work(desk: sqlite3.Connection) -> FoundCustomer:
        row = desk.execute(_CUSTOMER, (arguments.email,)).fetchone()
        if row is None:
            return FoundCustomer(found=False)
        orders = [each["number"] for each in desk.execute(_ORDERS, (arguments.email,))]
        return FoundCustomer(found=True, name=row["name"], since=row["since"], orders=orders)

    return await ask(call, work)


@tool(
    "support.find_order",
    title="Find an order",
    effect=Effect.READ,
    idempotency=Idempotency.NATURAL,
    scopes=("desk:read",),
)
async def find_order(arguments: WhichOrder, call: Call) -> FoundOrder:
    """An order by its number: what was paid, what was refunded, and what the customer noted."""

    def work(desk: sqlite3.Connection) -> FoundOrder:
        order = _order(desk, arguments.number)
        return FoundOrder(found=order is not None, order=order)

    return await ask(call, work)


async def _is_refunded(arguments: RefundOrder, call: Call) -> Refund | None:
    return await ask(call, lambda desk: _made(desk, arguments, call.idempotency_key))


async def _refund_shown(arguments: RefundOrder, call: Call) -> dict[str, Any]:
    """The order as it is, and what would have been refunded."""

    def work(desk: sqlite3.Connection) -> dict[str, Any]:
        order = _refundable(desk, arguments)
        after = order.refunded_minor + arguments.amount_minor
        return {
            "before": {"refunded_minor": order.refunded_minor},
            "after": {"refunded_minor": after},
            "evidence": {"total_minor": order.total_minor, "status": order.status, "placed_on": order.placed_on},
        }

    return await ask(call, work)


@tool(
    "support.refund_order",
    title="Refund an order",
    effect=Effect.WRITE,
    idempotency=Idempotency.KEY,
    scopes=("refunds:write",),
    writes=("refund",),
    verify=_is_refunded,
    preview=_refund_shown,
)
async def refund_order(arguments: RefundOrder, call: Call) -> Refund:
    """Give back a part of what was paid for an order, or all of it."""

    def work(desk: sqlite3.Connection) -> Refund:
        if (made := _made(desk, arguments, call.idempotency_key)) is not None:
            return made
        _refundable(desk, arguments)
        values = (call.idempotency_key, arguments.number, arguments.amount_minor, arguments.reason)
        desk.execute(_INSERT, values)
        made = _made(desk, arguments, call.idempotency_key)
        assert made is not None, "it was just inserted"
        return made

    return await ask(call, work)


async def _customer_shown(arguments: WhichCustomer, call: Call) -> dict[str, Any]:
    found = await ask(call, lambda desk: desk.execute(_CUSTOMER, (arguments.email,)).fetchone())
    return {"before": {"name": found["name"], "since": found["since"]} if found else None, "after": None}


@tool(
    "support.delete_customer",
    title="Delete a customer",
    effect=Effect.DESTRUCTIVE,
    idempotency=Idempotency.NATURAL,
    scopes=("customers:delete",),
    writes=("customer",),
    preview=_customer_shown,
)
async def delete_customer(arguments: WhichCustomer, call: Call) -> Deleted:
    """Take a customer out of the desk for good."""

    def work(desk: sqlite3.Connection) -> Deleted:
        desk.execute(_DELETE, (arguments.email,))
        return Deleted(deleted=True)

    return await ask(call, work)


def _order(desk: sqlite3.Connection, number: str) -> Order | None:
    row = desk.execute(_ORDER, (number,)).fetchone()
    return None if row is None else Order(**dict(row))


def _refundable(desk: sqlite3.Connection, arguments: RefundOrder) -> Order:
    order = _order(desk, arguments.number)
    if order is None:
        raise Refused("there is no such order", code="order_unknown")
    if arguments.currency != order.currency:
        raise Refused("the order is in another currency", code="currency_differs")
    if order.refunded_minor + arguments.amount_minor > order.total_minor:
        raise Refused("more than was paid", code="amount_exceeds_paid")
    return order


def _made(desk: sqlite3.Connection, arguments: RefundOrder, key: str) -> Refund | None:
    """A key that was used for another refund answers for none."""
    row = desk.execute(_REFUND, (key,)).fetchone()
    if row is None:
        return None
    if (row["order_number"], row["amount_minor"]) != (arguments.number, arguments.amount_minor):
        raise Refused("this key made another refund", code="key_reused")
    order = _order(desk, arguments.number)
    assert order is not None, "a refund has its order"
    return Refund(number=order.number, amount_minor=row["amount_minor"], refunded_minor=order.refunded_minor)


TOOLS = (find_customer, find_order, refund_order, delete_customer)
