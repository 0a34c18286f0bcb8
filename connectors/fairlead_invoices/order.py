"""A purchase order as the orders database knows it, and how a document compares with it."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from fairlead_invoices.amounts import MAX_BP, Currency, DecimalText, Minor
from fairlead_invoices.document import MAX_LINES, Identifier, Label

BasisPoints = Annotated[int, Meta(ge=0, le=MAX_BP, description="Hundredths of a percent, rounded up.")]
Concern = Literal[
    "supplier", "currency", "order_closed", "bank_account", "arithmetic", "no_preceding_invoice", "item", "unit"
]
DifferenceKind = Literal[
    "quantity", "price", "amount", "tax_rate", "unmatched_line", "allowance", "charge", "total", "rounding", "prepaid"
]


class OrderLine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`unit_price` is net, in whole units of the currency. `invoiced_quantity` counts what is staged already."""

    id: Identifier
    item_id: Identifier | None = None
    description: Label
    unit: Identifier
    quantity: DecimalText
    unit_price: DecimalText
    tax_rate: DecimalText
    invoiced_quantity: DecimalText


class Order(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Amounts are without tax. `supplier_iban` is the account on file, not the one an invoice asks for."""

    number: Identifier
    supplier_id: Identifier
    supplier_name: Label
    supplier_iban: Identifier | None = None
    currency: Currency
    status: Literal["open", "closed"]
    lines: Annotated[tuple[OrderLine, ...], Meta(max_length=MAX_LINES)]
    total_minor: Minor
    invoiced_minor: Minor


class LineMatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`expected_minor` is what the order explains of this line: the open quantity at the order's price."""

    line_id: Identifier
    order_line: Identifier | None = None
    matched_by: Literal["order_line", "item_id", "description", "nothing"]
    quantity: DecimalText
    invoiced_minor: Minor
    expected_minor: Minor


class Difference(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One reason why the document asks for more (positive) or less (negative) than the order explains."""

    kind: DifferenceKind
    line_id: Identifier | None = None
    order_line: Identifier | None = None
    invoiced: Label
    ordered: Label
    amount_minor: Minor


class Comparison(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`invoiced_minor` and `expected_minor` are without tax. `total_variance_minor` is the sum of all differences,
    among them the tax from other rates than ordered. It is not for limits, because opposite differences cancel:
    `absolute_variance_minor` adds up the size of each, and `variance_bp` relates that to what was expected.

    A concern is what no amount expresses; whoever decides by amount alone must see that there is none.
    """

    order_number: Identifier
    invoiced_minor: Minor
    expected_minor: Minor
    total_variance_minor: Minor
    absolute_variance_minor: Minor
    variance_bp: BasisPoints
    direction: Literal["none", "over", "under"]
    coverage: Literal["nothing", "partial", "full"]
    matches: tuple[LineMatch, ...]
    differences: tuple[Difference, ...]
    concerns: tuple[Concern, ...]
