"""Invoices and credit notes in UBL 2.1, as EN 16931 and Peppol BIS Billing 3 use them."""

from fairlead_invoices.document import AllowanceCharge, Document, Line, Party, PaymentAccount, TaxSubtotal, Totals
from fairlead_invoices.fields import (
    Amounts,
    bounded,
    currency_code,
    decimal,
    first_identifier,
    identifier,
    indicator,
    iso_date,
    label,
    lines_of,
    optional_identifier,
    seller_key,
    unit_code,
)
from fairlead_invoices.kinds import kind_of
from fairlead_invoices.tree import Node, malformed


class _Names:
    """Where an invoice and a credit note call the same thing differently."""

    def __init__(self, root: Node) -> None:
        self.credit = root.name == "cn:CreditNote"
        self.type_code = "cbc:CreditNoteTypeCode" if self.credit else "cbc:InvoiceTypeCode"
        self.line = "cac:CreditNoteLine" if self.credit else "cac:InvoiceLine"
        self.quantity = "cbc:CreditedQuantity" if self.credit else "cbc:InvoicedQuantity"


def extract(root: Node, sha256: str) -> Document:
    """Raises Refused: malformed_document, unsupported_currency, document_too_complex."""
    names = _Names(root)
    type_code = identifier(root, names.type_code)
    if (kind_of(type_code) == "credit_note") != names.credit:
        raise malformed(f"type code {type_code} does not belong in a {root.name.partition(':')[2]}")
    amounts = Amounts(currency_code(root, "cbc:DocumentCurrencyCode"))
    seller = _party(root.one("cac:AccountingSupplierParty/cac:Party"))
    tax_minor, subtotals = _tax(root, amounts)
    return Document(
        sha256=sha256,
        format="ubl-credit-note" if names.credit else "ubl-invoice",
        kind=kind_of(type_code),
        type_code=type_code,
        number=identifier(root, "cbc:ID"),
        issue_date=iso_date(identifier(root, "cbc:IssueDate"), "cbc:IssueDate"),
        due_date=_due_date(root),
        currency=amounts.currency,
        seller_id=seller_key(seller),
        seller=seller,
        buyer=_party(root.one("cac:AccountingCustomerParty/cac:Party")),
        order_reference=optional_identifier(root, "cac:OrderReference/cbc:ID"),
        preceding_invoices=_preceding(root),
        lines=tuple(_line(line, names, amounts) for line in lines_of(root, names.line)),
        allowances_charges=_allowances_charges(root, amounts),
        tax_subtotals=subtotals,
        totals=_totals(root.one("cac:LegalMonetaryTotal"), tax_minor, amounts),
        payment_reference=_payment_reference(root),
        payment_accounts=_payment_accounts(root),
    )


def _due_date(root: Node) -> str | None:
    """A credit note has no due date of its own: it stands with the payment means."""
    for path in ("cbc:DueDate", "cac:PaymentMeans/cbc:PaymentDueDate"):
        dates = {iso_date(node.text, path) for node in root.many(path)}
        if len(dates) > 1:
            raise malformed(f"{path} is given with different dates")
        if dates:
            return dates.pop()
    return None


def _party(party: Node) -> Party:
    vat = [scheme for scheme in party.many("cac:PartyTaxScheme") if _is_vat(scheme)]
    if len(vat) > 1:
        raise malformed("a party has more than one VAT registration")
    return Party(
        name=label(party, "cac:PartyLegalEntity/cbc:RegistrationName") or label(party, "cac:PartyName/cbc:Name"),
        vat_id=optional_identifier(vat[0], "cbc:CompanyID") if vat else None,
        legal_id=optional_identifier(party, "cac:PartyLegalEntity/cbc:CompanyID"),
        id=first_identifier(party.many("cac:PartyIdentification/cbc:ID")),
        country=optional_identifier(party, "cac:PostalAddress/cac:Country/cbc:IdentificationCode"),
    )


def _is_vat(scheme: Node) -> bool:
    return identifier(scheme, "cac:TaxScheme/cbc:ID").upper() == "VAT"


def _preceding(root: Node) -> tuple[str, ...]:
    path = "cac:BillingReference/cac:InvoiceDocumentReference"
    return tuple(identifier(reference, "cbc:ID") for reference in bounded(root.many(path), path))


def _line(line: Node, names: _Names, amounts: Amounts) -> Line:
    category = line.one("cac:Item/cac:ClassifiedTaxCategory")
    return Line(
        id=identifier(line, "cbc:ID"),
        name=label(line, "cac:Item/cbc:Name"),
        description=label(line, "cac:Item/cbc:Description"),
        item_id=optional_identifier(line, "cac:Item/cac:SellersItemIdentification/cbc:ID"),
        order_line=optional_identifier(line, "cac:OrderLineReference/cbc:LineID"),
        quantity=decimal(line, names.quantity),
        unit=unit_code(line.one(names.quantity)),
        unit_price=decimal(line, "cac:Price/cbc:PriceAmount"),
        price_quantity=decimal(line, "cac:Price/cbc:BaseQuantity", default="1"),
        allowances_charges=_allowances_charges(line, amounts),
        total_minor=amounts.one(line, "cbc:LineExtensionAmount"),
        tax_category=identifier(category, "cbc:ID"),
        tax_rate=decimal(category, "cbc:Percent", default="0"),
    )


def _allowances_charges(parent: Node, amounts: Amounts) -> tuple[AllowanceCharge, ...]:
    path = "cac:AllowanceCharge"
    return tuple(
        AllowanceCharge(
            charge=indicator(found, "cbc:ChargeIndicator"),
            amount_minor=amounts.one(found, "cbc:Amount"),
            reason=label(found, "cbc:AllowanceChargeReason"),
            tax_category=optional_identifier(found, "cac:TaxCategory/cbc:ID"),
            tax_rate=decimal(found, "cac:TaxCategory/cbc:Percent", default="0")
            if found.many("cac:TaxCategory")
            else None,
        )
        for found in bounded(parent.many(path), path)
    )


def _tax(root: Node, amounts: Amounts) -> tuple[int, tuple[TaxSubtotal, ...]]:
    """The total in the document's currency; another one may stand beside it in the currency of the tax office."""
    path = "cac:TaxTotal"
    ours = [
        total
        for total in bounded(root.many(path), path)
        if total.one("cbc:TaxAmount").attributes.get("currencyID", amounts.currency) == amounts.currency
    ]
    if len(ours) > 1:
        raise malformed("there is more than one tax total in the document's currency")
    if not ours:
        return 0, ()
    found = bounded(ours[0].many("cac:TaxSubtotal"), "cac:TaxSubtotal")
    return amounts.one(ours[0], "cbc:TaxAmount"), tuple(_subtotal(subtotal, amounts) for subtotal in found)


def _subtotal(subtotal: Node, amounts: Amounts) -> TaxSubtotal:
    return TaxSubtotal(
        category=identifier(subtotal, "cac:TaxCategory/cbc:ID"),
        rate=decimal(subtotal, "cac:TaxCategory/cbc:Percent", default="0"),
        taxable_minor=amounts.one(subtotal, "cbc:TaxableAmount"),
        tax_minor=amounts.one(subtotal, "cbc:TaxAmount"),
    )


def _totals(total: Node, tax_minor: int, amounts: Amounts) -> Totals:
    return Totals(
        lines_minor=amounts.one(total, "cbc:LineExtensionAmount"),
        allowances_minor=amounts.maybe(total, "cbc:AllowanceTotalAmount"),
        charges_minor=amounts.maybe(total, "cbc:ChargeTotalAmount"),
        tax_exclusive_minor=amounts.one(total, "cbc:TaxExclusiveAmount"),
        tax_minor=tax_minor,
        tax_inclusive_minor=amounts.one(total, "cbc:TaxInclusiveAmount"),
        prepaid_minor=amounts.maybe(total, "cbc:PrepaidAmount"),
        rounding_minor=amounts.maybe(total, "cbc:PayableRoundingAmount"),
        payable_minor=amounts.one(total, "cbc:PayableAmount"),
    )


def _payment_reference(root: Node) -> str | None:
    return first_identifier(root.many("cac:PaymentMeans/cbc:PaymentID"))


def _payment_accounts(root: Node) -> tuple[PaymentAccount, ...]:
    """Each account once, in the document's order."""
    path = "cac:PaymentMeans"
    accounts = [
        PaymentAccount(means=identifier(means, "cbc:PaymentMeansCode"), iban=account.replace(" ", "").upper())
        for means in bounded(root.many(path), path)
        if (account := optional_identifier(means, "cac:PayeeFinancialAccount/cbc:ID"))
    ]
    return tuple(dict.fromkeys(accounts))
