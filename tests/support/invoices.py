"""The invoices connector in tests: its samples, its calls, and an orders database of one's own."""

import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from fairlead_sdk import Call
from psycopg import AsyncConnection, sql
from psycopg.conninfo import make_conninfo

from fairlead_invoices import InvoicesConnector
from fairlead_invoices.document import Document, Line, Party, Totals
from fairlead_invoices.order import Order, OrderLine
from fairlead_invoices.seeding import prepare_database, store_documents

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "invoice-match"
SAMPLES = EXAMPLE / "invoices"
FOREIGN = Path(__file__).parents[3] / "shared" / "data" / "invoices"
"""Documents that nobody here wrote; see the skips of tests that want them."""

_numbers = itertools.count(1)


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def line(number: int = 1, **fields: Any) -> Line:
    quantity, price = fields.pop("quantity", "2"), fields.pop("unit_price", "10")
    values = {
        "id": str(number),
        "name": f"Thing {number}",
        "order_line": str(number),
        "quantity": quantity,
        "unit": "C62",
        "unit_price": price,
        "total_minor": int(float(quantity) * float(price) * 100),
        "tax_category": "S",
        "tax_rate": "20",
    }
    return Line(**(values | fields))


def document(*lines: Line, **fields: Any) -> Document:
    """An invoice in EUR over these lines, whose totals are their sum without tax unless said otherwise."""
    lines = lines or (line(),)
    total = sum(each.total_minor for each in lines)
    values: dict[str, Any] = {
        "sha256": "0" * 64,
        "format": "ubl-invoice",
        "kind": "invoice",
        "type_code": "380",
        "number": "INV-1",
        "issue_date": "2026-09-01",
        "currency": "EUR",
        "seller_id": "DE1",
        "seller": Party(name="Seller", vat_id="DE1"),
        "buyer": Party(name="Buyer"),
        "lines": lines,
        "totals": totals(total),
    }
    return Document(**(values | fields))


def totals(net_minor: int, **fields: int) -> Totals:
    zero = dict.fromkeys(Totals.__struct_fields__, 0)
    net = dict.fromkeys(("lines_minor", "tax_exclusive_minor", "tax_inclusive_minor", "payable_minor"), net_minor)
    return Totals(**(zero | net | fields))


def order_line(number: int = 1, **fields: Any) -> OrderLine:
    values = {
        "id": str(number),
        "description": f"Thing {number}",
        "unit": "C62",
        "quantity": "2",
        "unit_price": "10",
        "tax_rate": "20",
        "invoiced_quantity": "0",
    }
    return OrderLine(**(values | fields))


def order(*lines: OrderLine, **fields: Any) -> Order:
    values: dict[str, Any] = {
        "number": "PO-1",
        "supplier_id": "DE1",
        "supplier_name": "Seller",
        "currency": "EUR",
        "status": "open",
        "lines": lines or (order_line(),),
        "total_minor": 0,
        "invoiced_minor": 0,
    }
    return Order(**(values | fields))


class Bench:
    """The connector over one orders database and one intake store, called as a worker calls it: JSON in, JSON out."""

    def __init__(self, connector: InvoicesConnector, settings: Mapping[str, str], names: Mapping[str, str]) -> None:
        self.connector = connector
        self.settings = settings
        self.names = names  # of the samples in the intake store, by file name

    def given(self, key: str) -> Call:
        return Call(call_id=key, attempt=1, idempotency_key=key, settings=self.settings)

    async def call(self, tool: str, key: str = "key", **arguments: Any) -> Any:
        found = self.connector.manifest.by_name[f"invoices.{tool}"]
        output = await found.run(msgspec.convert(arguments, found.input), self.given(key))
        return msgspec.json.decode(msgspec.json.encode(output))

    async def verify(self, tool: str, key: str = "key", **arguments: Any) -> Any:
        found = self.connector.manifest.by_name[f"invoices.{tool}"]
        assert found.verify is not None
        return msgspec.to_builtins(await found.verify(msgspec.convert(arguments, found.input), self.given(key)))

    async def preview(self, tool: str, **arguments: Any) -> Any:
        found = self.connector.manifest.by_name[f"invoices.{tool}"]
        assert found.preview is not None
        return await found.preview(msgspec.convert(arguments, found.input), self.given("preview"))

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        async with await AsyncConnection.connect(self.settings["orders_dsn"]) as connection:
            return await (await connection.execute(statement.encode())).fetchall()


@asynccontextmanager
async def invoice_bench(admin_url: str, folder: Path) -> AsyncIterator[Bench]:
    """With the orders and documents of the example."""
    name = f"orders_{next(_numbers)}"
    dsn = make_conninfo(admin_url, dbname=name)
    connector = InvoicesConnector()
    async with await AsyncConnection.connect(admin_url, autocommit=True) as admin:
        await admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            await prepare_database(dsn, EXAMPLE / "orders.sql")
            names = await store_documents(SAMPLES, folder)
            yield Bench(connector, {"orders_dsn": dsn, "intake_dir": str(folder)}, names)
        finally:
            await connector.close()
            await admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
