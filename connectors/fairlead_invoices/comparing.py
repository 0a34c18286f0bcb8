"""A document against its purchase order: what the order explains, what it does not, and what no amount expresses.

Lines are walked in the document's order. An order line has a position between nothing and everything invoiced; an
invoice moves it up, a credit note or a negative quantity down, and the order explains only the movement that fits, at
its own price. So a partial delivery is no difference, a second full invoice is one, and so is a credit for goods that
were never invoiced.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Literal

from fairlead_sdk import Refused
from msgspec import Struct

from fairlead_invoices.amounts import MAX_MINOR, exponent, ratio_bp, rounded
from fairlead_invoices.checks import net_minor
from fairlead_invoices.document import Document, Line, comparable_id
from fairlead_invoices.order import Comparison, Concern, Difference, DifferenceKind, LineMatch, Order, OrderLine

MatchedBy = Literal["order_line", "item_id", "description", "nothing"]


class _Compared(Struct, frozen=True):
    match: LineMatch
    differences: tuple[Difference, ...]


def compare(document: Document, order: Order) -> Comparison:
    """Pure and exact. With another supplier or currency the order explains nothing.

    Raises Refused amount_out_of_range when quantities and prices make an amount past any that is accepted.
    """
    concerns = tuple(_concerns(document, order))
    book = _Book(document, () if {"supplier", "currency"} & set(concerns) else order.lines)
    compared = [book.compare(line) for line in document.lines]
    differences = (*(found for each in compared for found in each.differences), *_beyond_lines(document))
    matches = tuple(each.match for each in compared)
    expected = sum(match.expected_minor for match in matches)
    total = sum(difference.amount_minor for difference in differences)
    absolute = sum(abs(difference.amount_minor) for difference in differences)
    return Comparison(
        order_number=order.number,
        invoiced_minor=document.totals.tax_exclusive_minor,
        expected_minor=_in_range(expected),
        total_variance_minor=_in_range(total),
        absolute_variance_minor=_in_range(absolute),
        variance_bp=ratio_bp(absolute, expected),
        direction="none" if total == 0 else "over" if total > 0 else "under",
        coverage=book.coverage(),
        matches=matches,
        differences=differences,
        concerns=concerns,
    )


class _Book:
    """The order's lines and how far each is invoiced, moved on by every line that is compared."""

    def __init__(self, document: Document, lines: tuple[OrderLine, ...]) -> None:
        self._sign = -1 if document.kind == "credit_note" else 1
        self._scale = 10 ** exponent(document.currency)
        self._lines = {line.id: line for line in lines}
        self._position = {line.id: Fraction(line.invoiced_quantity) for line in lines}
        self._touched = False

    def compare(self, line: Line) -> _Compared:
        ordered, how = find_order_line(line, self._lines)
        if ordered is None:
            unmatched = _difference("unmatched_line", line, None, line.name, "not ordered", line.total_minor)
            return _Compared(_match(line, None, how, 0), (unmatched,))
        self._touched = True
        price = Fraction(ordered.unit_price) * self._scale
        covered = self._move(ordered, Fraction(line.quantity))
        at_order_price = _in_range(rounded(Fraction(line.quantity) * price))
        expected = _in_range(rounded(covered * price))
        found = (
            *_price(line, ordered, line.total_minor - at_order_price),
            *_quantity(line, ordered, covered, at_order_price - expected),
            *_tax_rate(line, ordered),
        )
        return _Compared(_match(line, ordered, how, expected), found)

    def _move(self, ordered: OrderLine, quantity: Fraction) -> Fraction:
        """The part of the quantity that the order line has room for, with the quantity's own sign."""
        before = self._position[ordered.id]
        top = max(Fraction(ordered.quantity), before)  # what was over-invoiced earlier is not taken back here
        after = min(max(before + self._sign * quantity, min(before, Fraction(0))), top)
        self._position[ordered.id] = after
        return (after - before) * self._sign

    def coverage(self) -> Literal["nothing", "partial", "full"]:
        if not self._touched:
            return "nothing"
        done = all(self._position[line.id] >= Fraction(line.quantity) for line in self._lines.values())
        return "full" if done else "partial"


def find_order_line(line: Line, lines: dict[str, OrderLine]) -> tuple[OrderLine | None, MatchedBy]:
    """By the order line it names, else by the seller's item if only one line has it, else by description and price.

    A reference to a line that the order does not have is not mended by guessing.
    """
    if line.order_line is not None:
        named = lines.get(line.order_line)
        return named, "order_line" if named else "nothing"
    if line.item_id is not None and len(same := [each for each in lines.values() if each.item_id == line.item_id]) == 1:
        return same[0], "item_id"
    price = unit_price(line)
    same = [each for each in lines.values() if _same_text(each, line) and Fraction(each.unit_price) == price]
    return (same[0], "description") if len(same) == 1 else (None, "nothing")


def unit_price(line: Line) -> Fraction:
    """For one unit; 0 for a price that is given for no quantity."""
    per = Fraction(line.price_quantity)
    return Fraction(line.unit_price) / per if per else Fraction(0)


def _same_text(ordered: OrderLine, line: Line) -> bool:
    return ordered.description.casefold() == line.name.casefold()


def _match(line: Line, ordered: OrderLine | None, how: MatchedBy, expected_minor: int) -> LineMatch:
    return LineMatch(
        line_id=line.id,
        order_line=ordered.id if ordered else None,
        matched_by=how,
        quantity=line.quantity,
        invoiced_minor=line.total_minor,
        expected_minor=expected_minor,
    )


def _price(line: Line, ordered: OrderLine, amount_minor: int) -> Iterator[Difference]:
    """Another price, or the same price and another amount: the line's own allowances, charges or arithmetic."""
    if unit_price(line) != Fraction(ordered.unit_price):
        per = "" if line.price_quantity == "1" else f" per {line.price_quantity}"
        yield _difference("price", line, ordered, f"{line.unit_price}{per}", ordered.unit_price, amount_minor)
    elif amount_minor:
        yield _difference("amount", line, ordered, "line amount", "quantity times price", amount_minor)


def _quantity(line: Line, ordered: OrderLine, covered: Fraction, amount_minor: int) -> Iterator[Difference]:
    if covered != Fraction(line.quantity):
        state = f"{ordered.quantity} ordered, {ordered.invoiced_quantity} invoiced before"
        yield _difference("quantity", line, ordered, line.quantity, state, amount_minor)


def _tax_rate(line: Line, ordered: OrderLine) -> Iterator[Difference]:
    more = Fraction(line.tax_rate) - Fraction(ordered.tax_rate)
    if more:
        amount = _in_range(rounded(line.total_minor * more / 100))
        yield _difference("tax_rate", line, ordered, f"{line.tax_rate} %", f"{ordered.tax_rate} %", amount)


def _beyond_lines(document: Document) -> Iterator[Difference]:
    """Orders know lines only: whatever else changes the amount to pay is a difference."""
    totals = document.totals
    for part in document.allowances_charges:
        kind: Literal["charge", "allowance"] = "charge" if part.charge else "allowance"
        yield _difference(kind, None, None, part.reason, "not ordered", net_minor((part,)))
    parts = sum(line.total_minor for line in document.lines) + net_minor(document.allowances_charges)
    if rest := totals.tax_exclusive_minor - parts:
        yield _difference("total", None, None, "total without tax", "sum of its parts", rest)
    if totals.rounding_minor:
        yield _difference("rounding", None, None, "rounding of the amount due", "none", totals.rounding_minor)
    if totals.prepaid_minor < 0:
        yield _difference("prepaid", None, None, "prepaid below zero", "none", -totals.prepaid_minor)


def _concerns(document: Document, order: Order) -> Iterator[Concern]:
    if document.seller_id != comparable_id(order.supplier_id):
        yield "supplier"
    if document.currency != order.currency:
        yield "currency"
    if order.status != "open":
        yield "order_closed"
    accounts = {account.iban for account in document.payment_accounts}
    if order.supplier_iban and accounts - {order.supplier_iban}:
        yield "bank_account"
    if document.checks:
        yield "arithmetic"
    if document.kind == "credit_note" and not document.preceding_invoices:
        yield "no_preceding_invoice"
    yield from _line_concerns(document, {line.id: line for line in order.lines})


def _line_concerns(document: Document, lines: dict[str, OrderLine]) -> Iterator[Concern]:
    pairs = [(line, ordered) for line in document.lines if (ordered := find_order_line(line, lines)[0])]
    if any(line.item_id and ordered.item_id and line.item_id != ordered.item_id for line, ordered in pairs):
        yield "item"
    if any(line.unit != ordered.unit for line, ordered in pairs):
        yield "unit"


def _difference(
    kind: DifferenceKind, line: Line | None, ordered: OrderLine | None, invoiced: str, expected: str, amount_minor: int
) -> Difference:
    return Difference(
        kind=kind,
        line_id=line.id if line else None,
        order_line=ordered.id if ordered else None,
        invoiced=invoiced,
        ordered=expected,
        amount_minor=_in_range(amount_minor),
    )


def _in_range(amount_minor: int) -> int:
    if abs(amount_minor) > MAX_MINOR:
        raise Refused("the figures make an amount past any that is accepted", code="amount_out_of_range")
    return amount_minor
