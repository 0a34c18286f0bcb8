"""The invoices connector passes the suite that third parties run, on a real PostgreSQL."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fairlead_sdk.conformance import ConnectorSuite
from fairlead_sdk.testing import Counterpart, Example
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from fairlead_invoices import InvoicesConnector
from tests.support.invoices import EXAMPLE, Bench, invoice_bench

_TABLES = ("rejections", "staged_payments", "staged_invoice_lines", "staged_invoices")
_FORGET = (
    "; ".join(f"DELETE FROM {table}" for table in _TABLES)
    + "; SELECT setval(pg_get_serial_sequence('staged_invoices', 'staged_id'), 1, false)"
)
_QUICK = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$"
_TIMES = ("staged_at", "recorded_at")
_NEXT_ID = 3  # two invoices were staged before


class OrdersAndIntake(Counterpart):
    """The orders database and the intake store of the example, as they were, each time they are opened."""

    bench: ClassVar[Bench]
    untouched: ClassVar[Path]  # a copy of the intake store

    async def open(self) -> None:
        async with await AsyncConnection.connect(self.bench.settings["orders_dsn"], autocommit=True) as connection:
            await connection.execute(_FORGET.encode())
            await connection.execute((EXAMPLE / "orders.sql").read_bytes())
        intake = Path(self.bench.settings["intake_dir"])
        for file in set(_files(intake)) - set(_files(self.untouched)):
            (intake / file).unlink()

    async def state(self) -> Any:
        found: dict[str, Any] = {"documents": _files(Path(self.bench.settings["intake_dir"]))}
        async with await AsyncConnection.connect(self.bench.settings["orders_dsn"], row_factory=dict_row) as connection:
            for table in _TABLES:
                rows = await (await connection.execute(f"SELECT * FROM {table} ORDER BY 1".encode())).fetchall()
                found[table] = [{key: value for key, value in row.items() if key not in _TIMES} for row in rows]
        return found


class TestInvoices(ConnectorSuite):
    connector = InvoicesConnector
    counterpart = OrdersAndIntake
    shipped = True


@pytest.fixture(scope="module", autouse=True)
async def described(postgres_admin_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[None]:
    """Examples name documents and figures that are known once the example is there."""
    folder = tmp_path_factory.mktemp("invoices")
    async with invoice_bench(postgres_admin_url, folder / "intake") as bench:
        shutil.copytree(folder / "intake", folder / "untouched")
        async with await AsyncConnection.connect(bench.settings["orders_dsn"], autocommit=True) as connection:
            await connection.execute(_QUICK)
        OrdersAndIntake.bench, OrdersAndIntake.untouched = bench, folder / "untouched"
        TestInvoices.settings, TestInvoices.secrets = bench.settings, (bench.settings["orders_dsn"],)
        TestInvoices.examples = await _examples(bench)
        yield


async def _examples(bench: Bench) -> tuple[Example, ...]:
    document, compared, staging = await _read(bench, "01-exact-match.xml")
    _, _, credit = await _read(bench, "06-credit-note.xml")
    stage = Example(tool="invoices.stage_invoice", arguments=staging)
    figures = {key: value for key, value in staging.items() if key not in ("issue_date", "total_variance_minor")}
    payment = {"amount_minor": staging["payable_minor"], "iban": document["payment_accounts"][0]["iban"]}
    rejected = {"reason_code": "late", "reason": "Too late.", "staged_id": _NEXT_ID}
    return (
        Example(tool="invoices.store_document", arguments={"content": "<anything that came"}),
        Example(tool="invoices.read_document", arguments={"document": staging["document"]}),
        Example(tool="invoices.compare", arguments=compared),
        Example(tool="invoices.find_order", arguments={"number": staging["order_number"]}),
        Example(tool="invoices.check_duplicate", arguments={"seller_id": "DE1", "number": "1"}),
        stage,
        Example(tool="invoices.stage_credit", arguments=credit),
        Example(
            tool="invoices.stage_payment",
            arguments={**figures, **payment, "staged_id": _NEXT_ID, "reference": staging["number"]},
            first=(stage,),
        ),
        Example(
            tool="invoices.record_rejection",
            arguments={**rejected, "document": staging["document"]},
            first=(stage,),
        ),
    )


async def _read(bench: Bench, name: str) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """A sample, what compares it, and what stages it."""
    document = await bench.call("read_document", document=bench.names[name])
    order = (await bench.call("find_order", number=document["order_reference"]))["order"]
    compared = await bench.call("compare", document=document, order=order)
    staging = {
        "document": document["sha256"],
        "seller_name": document["seller"]["name"],
        "payable_minor": document["totals"]["payable_minor"],
        **{key: document[key] for key in ("seller_id", "number", "issue_date", "currency")},
        **{key: compared[key] for key in ("order_number", "variance_bp", "concerns")},
        **{key: compared[key] for key in ("total_variance_minor", "absolute_variance_minor")},
    }
    return document, {"document": document, "order": order}, staging


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.xml"))
