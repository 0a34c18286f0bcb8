"""What is read from an invoice or credit note, whichever syntax it came in. Names follow EN 16931's business terms."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from fairlead_invoices.amounts import Currency, DecimalText, Minor

MAX_LINES = 2_000
MAX_REPEATED = 100  # of anything else that may be repeated

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="SHA-256 of the document's bytes, in hexadecimal.")]
Identifier = Annotated[str, Meta(min_length=1, max_length=200)]
Label = Annotated[str, Meta(max_length=500)]
IsoDate = Annotated[str, Meta(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
Kind = Literal["invoice", "credit_note"]
Format = Literal["ubl-invoice", "ubl-credit-note", "cii"]


class Party(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`legal_id` is the entry in a company register, `id` any other identifier that the document gives."""

    name: Label
    vat_id: Identifier | None = None
    legal_id: Identifier | None = None
    id: Identifier | None = None
    country: Identifier | None = None


class AllowanceCharge(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An allowance lowers the amount and a charge raises it; `amount_minor` is as printed. Taxed like `tax_rate` says
    at document level, like its line otherwise."""

    charge: bool
    amount_minor: Minor
    reason: Label = ""
    tax_category: Identifier | None = None
    tax_rate: DecimalText | None = None


class Line(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`unit_price` is net, in whole units of the currency, for `price_quantity` units. `item_id` is the seller's."""

    id: Identifier
    name: Label
    description: Label = ""
    item_id: Identifier | None = None
    order_line: Identifier | None = None
    quantity: DecimalText
    unit: Identifier
    unit_price: DecimalText
    price_quantity: DecimalText = "1"
    allowances_charges: Annotated[tuple[AllowanceCharge, ...], Meta(max_length=MAX_REPEATED)] = ()
    total_minor: Minor
    tax_category: Identifier
    tax_rate: DecimalText = "0"


class TaxSubtotal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    category: Identifier
    rate: DecimalText
    taxable_minor: Minor
    tax_minor: Minor


class Totals(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As printed, 0 where the document is silent. Whether they agree is said in `Document.checks`."""

    lines_minor: Minor
    allowances_minor: Minor
    charges_minor: Minor
    tax_exclusive_minor: Minor
    tax_minor: Minor
    tax_inclusive_minor: Minor
    prepaid_minor: Minor
    rounding_minor: Minor
    payable_minor: Minor


class PaymentAccount(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the seller wants the money. `iban` is without spaces; it may be another kind of account number."""

    means: Identifier
    iban: Identifier


class Finding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Figures that do not agree: `printed_minor` should have been `computed_minor`. `rule` is EN 16931's (BR-…) or
    Peppol's (R120) name of the rule."""

    rule: str
    message: str
    printed_minor: int
    computed_minor: int
    line_id: str | None = None


class Document(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`seller_id` is what orders and duplicates are matched by: VAT id, else register entry, else other identifier,
    in upper case without spaces and punctuation."""

    sha256: Sha256
    format: Format
    kind: Kind
    type_code: Identifier
    number: Identifier
    issue_date: IsoDate
    due_date: IsoDate | None = None
    currency: Currency
    seller_id: Identifier
    seller: Party
    buyer: Party
    order_reference: Identifier | None = None
    preceding_invoices: Annotated[tuple[Identifier, ...], Meta(max_length=MAX_REPEATED)] = ()
    lines: Annotated[tuple[Line, ...], Meta(min_length=1, max_length=MAX_LINES)]
    allowances_charges: Annotated[tuple[AllowanceCharge, ...], Meta(max_length=MAX_REPEATED)] = ()
    tax_subtotals: Annotated[tuple[TaxSubtotal, ...], Meta(max_length=MAX_REPEATED)] = ()
    totals: Totals
    payment_reference: Identifier | None = None
    payment_accounts: Annotated[tuple[PaymentAccount, ...], Meta(max_length=MAX_REPEATED)] = ()
    checks: tuple[Finding, ...] = ()


def comparable_id(text: str) -> str:
    """`NL8200.98.395.B.01` and `NL 820098395B01` are the same party."""
    return "".join(character for character in text.upper() if character.isalnum())
