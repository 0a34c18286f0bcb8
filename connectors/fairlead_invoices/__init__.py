"""Electronic invoices against purchase orders: read, compare, stage. The reference workflow's connector."""

from fairlead_sdk import Access, Manifest, Scope, hookimpl
from fairlead_sdk.hookspecs import Register

from fairlead_invoices import database, document_tools, intake
from fairlead_invoices.database import Database
from fairlead_invoices.order_tools import OrderTools
from fairlead_invoices.payment_tools import PaymentTools
from fairlead_invoices.staging_tools import StagingTools

SCOPES = (
    Scope(name="invoices:read", access=Access.READ, title="Look into staged invoices"),
    Scope(name="invoices:write", access=Access.WRITE, title="Take in documents and stage invoices"),
    Scope(name="orders:read", access=Access.READ, title="Look into purchase orders"),
    Scope(name="payments:write", access=Access.WRITE, title="Stage payments"),
)


class InvoicesConnector:
    """Settings: `intake_dir`, the folder of incoming documents; `orders_dsn`, the orders database (see schema.sql)."""

    def __init__(self) -> None:
        self._database = Database()
        self.manifest = Manifest(
            name="invoices",
            title="Electronic invoices",
            version="1.0.0",
            tools=(
                *document_tools.TOOLS,
                *OrderTools(self._database).tools(),
                *StagingTools(self._database).tools(),
                *PaymentTools(self._database).tools(),
            ),
            settings=(intake.SETTING, database.SETTING),
            scopes=SCOPES,
        )

    async def close(self) -> None:
        """Give the database's connections back; a later call opens new ones."""
        await self._database.close()


@hookimpl
def register_connectors(register: Register) -> None:
    register(InvoicesConnector())
