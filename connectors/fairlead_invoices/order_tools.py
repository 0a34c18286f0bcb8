"""Tools that look things up in the orders database by parameterised SQL."""

from typing import Any

from fairlead_sdk import Call, Effect, Idempotency, Tool, tool

from fairlead_invoices import order_records, staging_records
from fairlead_invoices.database import Connection, Database
from fairlead_invoices.document import comparable_id
from fairlead_invoices.order import Order
from fairlead_invoices.requests import CheckDuplicate, DuplicateCheck, FindOrder, FoundOrder


class OrderTools:
    """Look-ups over one connection pool."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def tools(self) -> tuple[Tool[Any, Any], ...]:
        find_order = tool(
            "invoices.find_order",
            title="Find a purchase order",
            effect=Effect.READ,
            idempotency=Idempotency.NATURAL,
            scopes=("orders:read",),
        )(self.find_order)
        check_duplicate = tool(
            "invoices.check_duplicate",
            title="Check for a duplicate",
            effect=Effect.READ,
            idempotency=Idempotency.NATURAL,
            scopes=("invoices:read",),
        )(self.check_duplicate)
        return find_order, check_duplicate

    async def find_order(self, arguments: FindOrder, call: Call) -> FoundOrder:
        """A purchase order by its number, with its lines and how much of each is invoiced or staged already."""

        async def work(connection: Connection) -> Order | None:
            await order_records.use_snapshot(connection)
            return await order_records.read_order(connection, arguments.number or "")

        order = await self._database.read(call, work)
        return FoundOrder(found=order is not None, order=order)

    async def check_duplicate(self, arguments: CheckDuplicate, call: Call) -> DuplicateCheck:
        """Whether a document of this seller and number is staged. Invoices and credit notes are numbered apart."""

        async def work(connection: Connection) -> dict[str, Any] | None:
            seller_id = comparable_id(arguments.seller_id)
            return await staging_records.staged_by_number(connection, seller_id, arguments.kind, arguments.number)

        found = await self._database.read(call, work)
        if found is None:
            return DuplicateCheck(duplicate=False)
        return DuplicateCheck(
            duplicate=True,
            staged_id=found["staged_id"],
            document=found["document_sha256"],
            staged_at=found["staged_at"],
        )
