"""The customer's side: a PostgreSQL server of its own with the purchase orders, and a folder of incoming documents."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct
from psycopg import AsyncConnection, sql

from fairlead.adapters.embedded.account import engine_account
from fairlead.adapters.embedded.postgres import EmbeddedPostgres
from fairlead.adapters.embedded.process import Supervisor
from fairlead.adapters.embedded.secrets import credentials
from fairlead_invoices.seeding import prepare_database, store_documents

EXAMPLE = Path(__file__).parent.parent / "docs" / "examples" / "invoice-match"
TENANT = "{tenant}"  # the platform puts the tenant's id here: a database and a folder each


class Erp(Struct, frozen=True, kw_only=True):
    """`orders_dsn` and `intake_dir` are templates, as the connector's settings take them."""

    admin_url: str
    orders_dsn: str
    intake_dir: str

    def settings(self) -> dict[str, str]:
        return {
            "FAIRLEAD_CONNECTOR_INVOICES_ORDERS_DSN": self.orders_dsn,
            "FAIRLEAD_CONNECTOR_INVOICES_INTAKE_DIR": self.intake_dir,
        }

    async def furnish(self, tenant_id: str) -> dict[str, str]:
        """Orders and documents for one tenant. The documents' names in the intake store, by file name."""
        name = f"orders_{tenant_id}"
        async with await AsyncConnection.connect(self.admin_url, autocommit=True) as admin:
            await admin.execute(sql.SQL("CREATE DATABASE {} OWNER fairlead_owner").format(sql.Identifier(name)))
        await prepare_database(self.orders_dsn.replace(TENANT, tenant_id), EXAMPLE / "orders.sql")
        return await store_documents(EXAMPLE / "invoices", Path(self.intake_dir.replace(TENANT, tenant_id)))


@asynccontextmanager
async def erp(directory: Path) -> AsyncIterator[Erp]:
    """Runs as long as the block lasts."""
    directory = await asyncio.to_thread(_private, directory)
    account, secrets = engine_account(), credentials(directory / "credentials.json")
    server = EmbeddedPostgres(directory, account, secrets)
    process = Supervisor(server, account, directory / "postgres.log")
    await asyncio.to_thread(server.prepare)
    await process.start()
    try:
        await server.make_roles()
        yield Erp(
            admin_url=server.url("admin"),
            orders_dsn=server.url("owner", f"orders_{TENANT}"),
            intake_dir=str(directory / "intake" / TENANT),
        )
    finally:
        await process.stop()


def _private(directory: Path) -> Path:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory.resolve()
