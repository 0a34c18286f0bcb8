"""Invoices and credit notes in UN/CEFACT Cross Industry Invoice D16B, as EN 16931 uses it."""

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

_DATE = "102"  # the only date format of EN 16931: YYYYMMDD
_TAX = "ram:CategoryCode", "ram:RateApplicablePercent"


def extract(root: Node, sha256: str) -> Document:
    """Raises Refused: malformed_document, unsupported_currency, document_too_complex."""
    header = root.one("rsm:ExchangedDocument")
    transaction = root.one("rsm:SupplyChainTradeTransaction")
    agreement = transaction.one("ram:ApplicableHeaderTradeAgreement")
    settlement = transaction.one("ram:ApplicableHeaderTradeSettlement")
    amounts = Amounts(currency_code(settlement, "ram:InvoiceCurrencyCode"))
    seller = _party(agreement.one("ram:SellerTradeParty"))
    type_code = identifier(header, "ram:TypeCode")
    return Document(
        sha256=sha256,
        format="cii",
        kind=kind_of(type_code),
        type_code=type_code,
        number=identifier(header, "ram:ID"),
        issue_date=_date(header.one("ram:IssueDateTime")),
        due_date=_due_date(settlement),
        currency=amounts.currency,
        seller_id=seller_key(seller),
        seller=seller,
        buyer=_party(agreement.one("ram:BuyerTradeParty")),
        order_reference=optional_identifier(agreement, "ram:BuyerOrderReferencedDocument/ram:IssuerAssignedID"),
        preceding_invoices=_preceding(settlement),
        lines=tuple(_line(line, amounts) for line in lines_of(transaction, "ram:IncludedSupplyChainTradeLineItem")),
        allowances_charges=_allowances_charges(settlement, amounts),
        tax_subtotals=_tax_subtotals(settlement, amounts),
        totals=_totals(settlement.one("ram:SpecifiedTradeSettlementHeaderMonetarySummation"), amounts),
        payment_reference=optional_identifier(settlement, "ram:PaymentReference"),
        payment_accounts=_payment_accounts(settlement),
    )


def _date(parent: Node) -> str:
    found = parent.one("udt:DateTimeString")
    text = found.text
    if found.attributes.get("format") != _DATE or len(text) != len("YYYYMMDD"):
        raise malformed(f"{parent.name} is not a date in format {_DATE}")
    return iso_date(f"{text[:4]}-{text[4:6]}-{text[6:]}", parent.name)


def _due_date(settlement: Node) -> str | None:
    due = settlement.maybe("ram:SpecifiedTradePaymentTerms/ram:DueDateDateTime")
    return None if due is None else _date(due)


def _party(party: Node) -> Party:
    vat = [found for found in party.many("ram:SpecifiedTaxRegistration/ram:ID") if _is_vat(found)]
    if len(vat) > 1:
        raise malformed("a party has more than one VAT registration")
    return Party(
        name=label(party, "ram:Name"),
        vat_id=first_identifier(vat),
        legal_id=optional_identifier(party, "ram:SpecifiedLegalOrganization/ram:ID"),
        id=first_identifier(party.many("ram:ID") + party.many("ram:GlobalID")),
        country=optional_identifier(party, "ram:PostalTradeAddress/ram:CountryID"),
    )


def _is_vat(found: Node) -> bool:
    return found.attributes.get("schemeID") == "VA"


def _preceding(settlement: Node) -> tuple[str, ...]:
    path = "ram:InvoiceReferencedDocument"
    return tuple(identifier(each, "ram:IssuerAssignedID") for each in bounded(settlement.many(path), path))


def _line(line: Node, amounts: Amounts) -> Line:
    product = line.one("ram:SpecifiedTradeProduct")
    agreement = line.one("ram:SpecifiedLineTradeAgreement")
    settlement = line.one("ram:SpecifiedLineTradeSettlement")
    quantity = line.one("ram:SpecifiedLineTradeDelivery")
    category, rate = _TAX
    tax = settlement.one("ram:ApplicableTradeTax")
    return Line(
        id=identifier(line, "ram:AssociatedDocumentLineDocument/ram:LineID"),
        name=label(product, "ram:Name"),
        description=label(product, "ram:Description"),
        item_id=optional_identifier(product, "ram:SellerAssignedID"),
        order_line=optional_identifier(agreement, "ram:BuyerOrderReferencedDocument/ram:LineID"),
        quantity=decimal(quantity, "ram:BilledQuantity"),
        unit=unit_code(quantity.one("ram:BilledQuantity")),
        unit_price=decimal(agreement, "ram:NetPriceProductTradePrice/ram:ChargeAmount"),
        price_quantity=decimal(agreement, "ram:NetPriceProductTradePrice/ram:BasisQuantity", default="1"),
        allowances_charges=_allowances_charges(settlement, amounts),
        total_minor=amounts.one(settlement, "ram:SpecifiedTradeSettlementLineMonetarySummation/ram:LineTotalAmount"),
        tax_category=identifier(tax, category),
        tax_rate=decimal(tax, rate, default="0"),
    )


def _allowances_charges(settlement: Node, amounts: Amounts) -> tuple[AllowanceCharge, ...]:
    path = "ram:SpecifiedTradeAllowanceCharge"
    category, rate = _TAX
    return tuple(
        AllowanceCharge(
            charge=indicator(found, "ram:ChargeIndicator/udt:Indicator"),
            amount_minor=amounts.one(found, "ram:ActualAmount"),
            reason=label(found, "ram:Reason"),
            tax_category=optional_identifier(tax, category) if tax else None,
            tax_rate=decimal(tax, rate, default="0") if tax else None,
        )
        for found in bounded(settlement.many(path), path)
        for tax in (found.maybe("ram:CategoryTradeTax"),)
    )


def _tax_subtotals(settlement: Node, amounts: Amounts) -> tuple[TaxSubtotal, ...]:
    path = "ram:ApplicableTradeTax"
    category, rate = _TAX
    return tuple(
        TaxSubtotal(
            category=identifier(found, category),
            rate=decimal(found, rate, default="0"),
            taxable_minor=amounts.one(found, "ram:BasisAmount"),
            tax_minor=amounts.one(found, "ram:CalculatedAmount"),
        )
        for found in bounded(settlement.many(path), path)
    )


def _totals(total: Node, amounts: Amounts) -> Totals:
    return Totals(
        lines_minor=amounts.one(total, "ram:LineTotalAmount"),
        allowances_minor=amounts.maybe(total, "ram:AllowanceTotalAmount"),
        charges_minor=amounts.maybe(total, "ram:ChargeTotalAmount"),
        tax_exclusive_minor=amounts.one(total, "ram:TaxBasisTotalAmount"),
        tax_minor=_tax_minor(total, amounts),
        tax_inclusive_minor=amounts.one(total, "ram:GrandTotalAmount"),
        prepaid_minor=amounts.maybe(total, "ram:TotalPrepaidAmount"),
        rounding_minor=amounts.maybe(total, "ram:RoundingAmount"),
        payable_minor=amounts.one(total, "ram:DuePayableAmount"),
    )


def _tax_minor(total: Node, amounts: Amounts) -> int:
    """The total in the document's currency; another one may stand beside it in the currency of the tax office."""
    path = "ram:TaxTotalAmount"
    ours = Node(total.name, {})
    ours.children.extend(
        found for found in total.many(path) if found.attributes.get("currencyID", amounts.currency) == amounts.currency
    )
    return amounts.maybe(ours, path)


def _payment_accounts(settlement: Node) -> tuple[PaymentAccount, ...]:
    """Each account once, in the document's order."""
    path = "ram:SpecifiedTradeSettlementPaymentMeans"
    accounts = [
        PaymentAccount(means=identifier(means, "ram:TypeCode"), iban=account.replace(" ", "").upper())
        for means in bounded(settlement.many(path), path)
        if (account := _account(means))
    ]
    return tuple(dict.fromkeys(accounts))


def _account(means: Node) -> str | None:
    account = means.maybe("ram:PayeePartyCreditorFinancialAccount")
    if account is None:
        return None
    return optional_identifier(account, "ram:IBANID") or optional_identifier(account, "ram:ProprietaryID")
