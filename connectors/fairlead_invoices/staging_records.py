"""What is staged, in the orders database. A key is staged once; the second time the first record is read back."""

from typing import Any

from msgspec import Struct

from fairlead_invoices.database import Connection
from fairlead_invoices.document import Document, Kind
from fairlead_invoices.order import Comparison, Order
from fairlead_invoices.requests import RecordRejection, Rejection, StagedDocument, StagedPayment, StagePayment

_BY_KEY = """
SELECT staged_id, kind, seller_id, number, order_number, currency, payable_minor, staged_at
  FROM staged_invoices WHERE idempotency_key = %(key)s
"""
_BY_NUMBER = """
SELECT staged_id, document_sha256, staged_at
  FROM staged_invoices
 WHERE seller_id = %(seller_id)s AND kind = %(kind)s AND number = %(number)s AND status = 'staged'
"""
_INSERT = """
INSERT INTO staged_invoices (
    idempotency_key, kind, document_sha256, seller_id, seller_name, number, preceding_invoices,
    order_number, issue_date, currency, net_minor, payable_minor,
    total_variance_minor, absolute_variance_minor, variance_bp, concerns)
VALUES (
    %(key)s, %(kind)s, %(document)s, %(seller_id)s, %(seller_name)s, %(number)s, %(preceding_invoices)s,
    %(order_number)s, %(issue_date)s, %(currency)s, %(net_minor)s, %(payable_minor)s,
    %(total_variance_minor)s, %(absolute_variance_minor)s, %(variance_bp)s, %(concerns)s)
RETURNING staged_id, kind, seller_id, number, order_number, currency, payable_minor, staged_at
"""
_INSERT_LINES = """
INSERT INTO staged_invoice_lines (staged_id, ordinal, order_line, quantity)
SELECT %(staged_id)s, line.ordinal, line.order_line, line.quantity
  FROM unnest(%(ordinals)s::integer[], %(order_lines)s::text[], %(quantities)s::numeric[])
       AS line (ordinal, order_line, quantity)
"""
_BY_ID = """
SELECT kind, status, document_sha256, seller_id, seller_name, number, order_number, currency, payable_minor,
       absolute_variance_minor, variance_bp, concerns
  FROM staged_invoices WHERE staged_id = %(staged_id)s
"""
_PRECEDING = """
SELECT COALESCE(SUM(payable_minor) FILTER (WHERE kind = 'invoice' AND number = ANY(%(numbers)s)), 0)::bigint AS billed,
       COALESCE(SUM(payable_minor) FILTER (WHERE kind = 'credit_note' AND preceding_invoices && %(numbers)s), 0)::bigint
           AS credited,
       COUNT(*) FILTER (WHERE kind = 'invoice' AND number = ANY(%(numbers)s)) AS found
  FROM staged_invoices
 WHERE seller_id = %(seller_id)s AND currency = %(currency)s AND status = 'staged'
"""
_PAYMENT_BY_KEY = """
SELECT payment_id, staged_id, currency, amount_minor, iban, reference, staged_at
  FROM staged_payments WHERE idempotency_key = %(key)s
"""
_PAYMENT_OF = """
SELECT payment_id, staged_id, currency, amount_minor, iban, reference, staged_at
  FROM staged_payments WHERE staged_id = %(staged_id)s
"""
_INSERT_PAYMENT = """
INSERT INTO staged_payments (idempotency_key, staged_id, currency, amount_minor, iban, reference)
VALUES (%(key)s, %(staged_id)s, %(currency)s, %(amount_minor)s, %(iban)s, %(reference)s)
RETURNING payment_id, staged_id, currency, amount_minor, iban, reference, staged_at
"""
_REJECTION_BY_KEY = """
SELECT rejection_id, document_sha256 AS document, reason_code, withdrawn_id, recorded_at
  FROM rejections WHERE idempotency_key = %(key)s
"""
_INSERT_REJECTION = """
INSERT INTO rejections (idempotency_key, document_sha256, seller_id, number, reason_code, reason, withdrawn_id)
VALUES (%(key)s, %(document)s, %(seller_id)s, %(number)s, %(reason_code)s, %(reason)s, %(staged_id)s)
RETURNING rejection_id, document_sha256 AS document, reason_code, withdrawn_id, recorded_at
"""
_WITHDRAW = """
UPDATE staged_invoices SET status = 'withdrawn'
 WHERE staged_id = %(staged_id)s AND status = 'staged' AND document_sha256 = %(document)s
   AND NOT EXISTS (SELECT FROM staged_payments p WHERE p.staged_id = staged_invoices.staged_id)
"""
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('fairlead_invoices.staged:' || %(name)s, 0))"


class Entry(Struct, frozen=True, kw_only=True):
    """A staged document as its payment needs it."""

    kind: Kind
    status: str
    document_sha256: str
    seller_id: str
    seller_name: str
    number: str
    order_number: str
    currency: str
    payable_minor: int
    absolute_variance_minor: int
    variance_bp: int
    concerns: list[str]


class Preceding(Struct, frozen=True, kw_only=True):
    """Of the invoices that a credit note names, of one seller and in one currency: how many are staged, what they ask
    for and what is credited already."""

    found: int
    billed: int
    credited: int


async def lock(connection: Connection, name: str) -> None:
    """One transaction at a time works on what this names."""
    await connection.execute(_LOCK, {"name": name})


async def staged_by_key(connection: Connection, key: str) -> StagedDocument | None:
    row = await _row(connection, _BY_KEY, {"key": key})
    return StagedDocument(**row) if row else None


async def staged_by_number(connection: Connection, seller_id: str, kind: Kind, number: str) -> dict[str, Any] | None:
    """staged_id, document_sha256 and staged_at of the document that has this number now."""
    return await _row(connection, _BY_NUMBER, {"seller_id": seller_id, "kind": kind, "number": number})


async def insert(
    connection: Connection, key: str, document: Document, order: Order, comparison: Comparison
) -> StagedDocument:
    values = {
        "key": key,
        "kind": document.kind,
        "document": document.sha256,
        "seller_id": document.seller_id,
        "seller_name": document.seller.name,
        "number": document.number,
        "preceding_invoices": list(document.preceding_invoices),
        "order_number": order.number,
        "issue_date": document.issue_date,
        "currency": document.currency,
        "net_minor": document.totals.tax_exclusive_minor,
        "payable_minor": document.totals.payable_minor,
        "total_variance_minor": comparison.total_variance_minor,
        "absolute_variance_minor": comparison.absolute_variance_minor,
        "variance_bp": comparison.variance_bp,
        "concerns": list(comparison.concerns),
    }
    staged = StagedDocument(**await _inserted(connection, _INSERT, values))
    await _insert_lines(connection, staged, comparison)
    return staged


async def _insert_lines(connection: Connection, staged: StagedDocument, comparison: Comparison) -> None:
    sign = "-" if staged.kind == "credit_note" else ""
    lines = [(n, m.order_line, m.quantity) for n, m in enumerate(comparison.matches, 1) if m.order_line is not None]
    values = {
        "staged_id": staged.staged_id,
        "ordinals": [ordinal for ordinal, _, _ in lines],
        "order_lines": [order_line for _, order_line, _ in lines],
        "quantities": [f"{sign}{quantity}".removeprefix("--") for _, _, quantity in lines],
    }
    await connection.execute(_INSERT_LINES, values)


async def entry(connection: Connection, staged_id: int) -> Entry | None:
    row = await _row(connection, _BY_ID, {"staged_id": staged_id})
    return Entry(**row) if row else None


async def preceding(connection: Connection, seller_id: str, currency: str, numbers: tuple[str, ...]) -> Preceding:
    values = {"seller_id": seller_id, "currency": currency, "numbers": list(numbers)}
    return Preceding(**await _inserted(connection, _PRECEDING, values))


async def payment_by_key(connection: Connection, key: str) -> StagedPayment | None:
    row = await _row(connection, _PAYMENT_BY_KEY, {"key": key})
    return StagedPayment(**row) if row else None


async def payment_of(connection: Connection, staged_id: int) -> StagedPayment | None:
    row = await _row(connection, _PAYMENT_OF, {"staged_id": staged_id})
    return StagedPayment(**row) if row else None


async def insert_payment(connection: Connection, key: str, asked: StagePayment) -> StagedPayment:
    values = {
        "key": key,
        "staged_id": asked.staged_id,
        "currency": asked.currency,
        "amount_minor": asked.amount_minor,
        "iban": asked.iban,
        "reference": asked.reference,
    }
    return StagedPayment(**await _inserted(connection, _INSERT_PAYMENT, values))


async def rejection_by_key(connection: Connection, key: str) -> Rejection | None:
    row = await _row(connection, _REJECTION_BY_KEY, {"key": key})
    return Rejection(**row) if row else None


async def withdraw(connection: Connection, staged_id: int, document: str) -> bool:
    """False when it is not staged, is of another document, or has a payment."""
    done = await connection.execute(_WITHDRAW, {"staged_id": staged_id, "document": document})
    return done.rowcount == 1


async def insert_rejection(connection: Connection, key: str, asked: RecordRejection) -> Rejection:
    values = {
        "key": key,
        "document": asked.document,
        "seller_id": asked.seller_id,
        "number": asked.number,
        "reason_code": asked.reason_code,
        "reason": asked.reason,
        "staged_id": asked.staged_id,
    }
    return Rejection(**await _inserted(connection, _INSERT_REJECTION, values))


async def _row(connection: Connection, statement: str, values: dict[str, Any]) -> dict[str, Any] | None:
    return await (await connection.execute(statement, values)).fetchone()


async def _inserted(connection: Connection, statement: str, values: dict[str, Any]) -> dict[str, Any]:
    row = await _row(connection, statement, values)
    assert row is not None, "the statement returns one row"
    return row
