"""Purchase orders in the orders database, with what is staged against them."""

from fairlead_invoices.database import Connection
from fairlead_invoices.order import Order, OrderLine

# Quantities come as canonical decimal text: no exponent, no trailing zeros, exact.
_ORDER = """
SELECT o.number, o.supplier_id, o.supplier_name, o.supplier_iban, o.currency, o.status, o.total_minor,
       (o.invoiced_before_minor + COALESCE(staged.net_minor, 0))::bigint AS invoiced_minor
  FROM purchase_orders o
  LEFT JOIN (
       SELECT order_number, SUM(CASE kind WHEN 'credit_note' THEN -net_minor ELSE net_minor END) AS net_minor
         FROM staged_invoices
        WHERE order_number = %(number)s AND status = 'staged'
        GROUP BY order_number
       ) staged ON staged.order_number = o.number
 WHERE o.number = %(number)s
"""
_LINES = """
SELECT l.line_id, l.item_id, l.description, l.unit, trim_scale(l.quantity)::text AS quantity,
       trim_scale(l.unit_price)::text AS unit_price, trim_scale(l.tax_rate)::text AS tax_rate,
       trim_scale(l.invoiced_before + COALESCE(staged.quantity, 0))::text AS invoiced_quantity
  FROM purchase_order_lines l
  LEFT JOIN (
       SELECT s.order_number, sl.order_line, SUM(sl.quantity) AS quantity
         FROM staged_invoices s JOIN staged_invoice_lines sl USING (staged_id)
        WHERE s.order_number = %(number)s AND s.status = 'staged'
        GROUP BY s.order_number, sl.order_line
       ) staged ON staged.order_number = l.order_number AND staged.order_line = l.line_id
 WHERE l.order_number = %(number)s
 ORDER BY length(l.line_id), l.line_id
"""
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('fairlead_invoices.order:' || %(number)s, 0))"
_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"


async def lock_order(connection: Connection, number: str) -> None:
    """Until the transaction ends nobody else stages against this order. Needs no right to write orders."""
    await connection.execute(_LOCK, {"number": number})


async def read_order(connection: Connection, number: str) -> Order | None:
    """Both statements see one state only under `lock_order` or `use_snapshot`."""
    found = await (await connection.execute(_ORDER, {"number": number})).fetchone()
    if found is None:
        return None
    rows = await (await connection.execute(_LINES, {"number": number})).fetchall()
    lines = tuple(OrderLine(id=row.pop("line_id"), **row) for row in rows)
    return Order(lines=lines, **found)


async def use_snapshot(connection: Connection) -> None:
    """The transaction reads one state and writes nothing. Must come first in it."""
    await connection.execute(_SNAPSHOT)
