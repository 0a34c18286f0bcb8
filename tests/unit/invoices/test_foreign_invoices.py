"""Invoices that nobody here wrote: what is extracted, against figures typed from reading them and a second reading by
another parser."""

import xml.etree.ElementTree as ET
from fractions import Fraction
from typing import Any

import pytest

from fairlead_invoices.amounts import decimal_text
from fairlead_invoices.document import Document
from fairlead_invoices.extraction import extract
from tests.support.invoices import FOREIGN

NS = {
    "cac": "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
    "cbc": "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2",
    "ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100",
}

KOKSMAAT = {
    "number": "12115118",
    "dates": ("2015-01-09", "2015-01-09"),
    "currency": "EUR",
    "seller": ("De Koksmaat", "NL8200.98.395.B.01", "57151520", "NL"),
    "buyer": ("ODIN 59", None, None, "NL"),
    "lines": 20,
    "taxes": [("S", "6", 18323, 1099), ("S", "21", 4637, 974)],
    "totals": (22960, 0, 0, 22960, 2073, 25033, 0, 0, 25033),
    "findings": [("R120", "20")],
}
LAPTOPS = {
    "number": "TOSL108",
    "dates": ("2013-06-30", "2013-07-20"),
    "currency": "NOK",
    "seller": ("Salescompany ltd.", "NO123456789MVA", "123456789", "NO"),
    "buyer": ("The Buyercompany", "NO987654321MVA", "987654321", "NO"),
    "order": "123",
    "lines": 5,
    "taxes": [("S", "25", 146050, 36513), ("S", "15", 100, 15), ("E", "0", -2500, 0)],
    "totals": (143650, 10000, 10000, 143650, 36528, 180178, 100000, 0, 80178),
}
PAPER = {
    "dates": ("2013-04-10", "2013-05-10"),
    "currency": "DKK",
    "number": "TOSL108",
    "seller": ("SubscriptionSeller", "DK16356706", "DK16356706", "DK"),
}
COOKIES = {
    "dates": ("2013-04-10", "2013-05-10"),
    "currency": "DKK",
    "number": "TOSL110",
    "lines": 3,
    "taxes": [("S", "25", 150000, 37500), ("S", "12", 250000, 30000)],
}
SNIPPET = {
    "number": "Snippet1",
    "dates": ("2017-11-13", "2017-12-01"),
    "currency": "EUR",
    "seller": ("SupplierOfficialName Ltd", "GB1232434", "GB983294", "GB"),
    "buyer": ("Buyer Official Name", "SE4598375937", "39937423947", "SE"),
}
INSURED: dict[str, Any] = {
    **SNIPPET,
    "lines": 2,
    "taxes": [("S", "25", 132500, 33125)],
    "totals": (130000, 0, 2500, 132500, 33125, 165625, 0, 0, 165625),
}
READ: dict[str, dict[str, Any]] = {
    "cen-cii-example1.xml": KOKSMAAT,
    "cen-cii-example2.xml": {**LAPTOPS, "findings": [("R120", str(line)) for line in range(1, 6)]},
    "cen-cii-example3.xml": {
        **PAPER,
        "buyer": ("Buyercompany ltd", None, None, "DK"),
        "lines": 1,
        "taxes": [("S", "25", 90000, 22500)],
        "totals": (80000, 0, 10000, 90000, 22500, 112500, 0, 0, 112500),
    },
    "cen-ubl-example1.xml": KOKSMAAT,
    "cen-ubl-example2.xml": {**LAPTOPS, "findings": [("R120", "1")]},
    "cen-ubl-example3.xml": {
        **PAPER,
        "buyer": ("Buyercompany ltd", "NO987654321MVA", "987654321", "DK"),
        "lines": 2,
        "taxes": [("S", "25", 90000, 22500), ("S", "10", 80000, 8000)],
        "totals": (160000, 0, 10000, 170000, 30500, 200500, 0, 0, 200500),
        "findings": [("R120", "1"), ("R120", "2")],
    },
    "cen-ubl-example4.xml": {
        **COOKIES,
        "seller": ("SellerCompany", "DK16356706", "DK16356706", "DK"),
        "buyer": ("Buyercompany ltd", None, None, "DK"),
        "order": "123",
        "totals": (400000, 0, 0, 400000, 67500, 467500, 0, 0, 467500),
    },
    "cen-ubl-example5.xml": {
        **COOKIES,
        "seller": ("SellerCompany", "NL16356706", "NL16356706", "NL"),
        "buyer": ("Buyercompany ltd", "DK16356607", "DK16356607", "DK"),
        "order": "PO4711",
        "preceding": ("TOSL109",),
        "totals": (400000, 15000, 15000, 400000, 67500, 467500, 233750, 0, 233750),
    },
    "peppol-Allowance-example.xml": {
        **SNIPPET,
        "lines": 3,
        "taxes": [("S", "25", 490000, 122500), ("E", "0", 100000, 0)],
        "totals": (590000, 20000, 20000, 590000, 122500, 712500, 100000, 0, 612500),
    },
    "peppol-Vat-category-S.xml": {
        **SNIPPET,
        "lines": 3,
        "taxes": [("S", "25", 500000, 125000), ("S", "15", 200000, 30000)],
        "totals": (690000, 10000, 20000, 700000, 155000, 855000, 0, 0, 855000),
    },
    "peppol-base-creditnote-correction.xml": {
        **INSURED,
        "dates": ("2017-11-13", None),
        "kind": "credit_note",
        "preceding": ("Snippet1",),
    },
    "peppol-base-example.xml": INSURED,
}

pytestmark = pytest.mark.skipif(not FOREIGN.is_dir(), reason=f"the foreign invoices are not there: {FOREIGN}")


def test_every_foreign_invoice_has_been_read_by_a_person() -> None:
    assert sorted(READ) == sorted(path.name for path in FOREIGN.glob("*.xml"))


@pytest.mark.parametrize("name", READ)
def test_header_parties_taxes_and_totals_are_what_a_person_reads(name: str) -> None:
    found, expected = extract((FOREIGN / name).read_bytes()), READ[name]
    assert (found.number, found.currency, len(found.lines)) == (
        expected["number"],
        expected["currency"],
        expected["lines"],
    )
    assert (found.issue_date, found.due_date) == expected["dates"]
    for party, read in ((found.seller, expected["seller"]), (found.buyer, expected["buyer"])):
        assert (party.name, party.vat_id, party.legal_id, party.country) == read
    assert [(each.category, each.rate, each.taxable_minor, each.tax_minor) for each in found.tax_subtotals] == expected[
        "taxes"
    ]
    assert tuple(getattr(found.totals, field) for field in found.totals.__struct_fields__) == expected["totals"]
    assert found.kind == expected.get("kind", "invoice")
    assert found.order_reference == expected.get("order")
    assert found.preceding_invoices == expected.get("preceding", ())


@pytest.mark.parametrize("name", READ)
def test_figures_that_disagree_are_found_and_no_others(name: str) -> None:
    found = extract((FOREIGN / name).read_bytes())
    assert [(each.rule, each.line_id) for each in found.checks] == READ[name].get("findings", [])


@pytest.mark.parametrize("name", READ)
def test_lines_are_what_another_parser_reads(name: str) -> None:
    found = extract((FOREIGN / name).read_bytes())
    root = ET.parse(FOREIGN / name).getroot()
    again = _cii_lines(root) if found.format == "cii" else _ubl_lines(root)
    assert [_told(found, index) for index in range(len(found.lines))] == again


def _told(found: Document, index: int) -> tuple[str, str, str, Fraction, str, Fraction, Fraction, str, Fraction]:
    line = found.lines[index]
    return (
        line.id,
        line.name,
        line.item_id or "",
        Fraction(line.quantity),
        line.unit,
        Fraction(line.unit_price),
        Fraction(line.total_minor, 100),
        line.tax_category,
        Fraction(line.tax_rate),
    )


def _ubl_lines(root: ET.Element) -> list[tuple[Any, ...]]:
    lines = root.findall("cac:InvoiceLine", NS) or root.findall("cac:CreditNoteLine", NS)
    return [
        (
            _text(line, "cbc:ID"),
            _text(line, "cac:Item/cbc:Name"),
            _text(line, "cac:Item/cac:SellersItemIdentification/cbc:ID"),
            Fraction(_text(line, "cbc:InvoicedQuantity") or _text(line, "cbc:CreditedQuantity")),
            _unit(line, "cbc:InvoicedQuantity") or _unit(line, "cbc:CreditedQuantity"),
            Fraction(_text(line, "cac:Price/cbc:PriceAmount")),
            Fraction(_text(line, "cbc:LineExtensionAmount")),
            _text(line, "cac:Item/cac:ClassifiedTaxCategory/cbc:ID"),
            Fraction(_text(line, "cac:Item/cac:ClassifiedTaxCategory/cbc:Percent")),
        )
        for line in lines
    ]


def _cii_lines(root: ET.Element) -> list[tuple[Any, ...]]:
    settled = "ram:SpecifiedLineTradeSettlement"
    return [
        (
            _text(line, "ram:AssociatedDocumentLineDocument/ram:LineID"),
            _text(line, "ram:SpecifiedTradeProduct/ram:Name"),
            _text(line, "ram:SpecifiedTradeProduct/ram:SellerAssignedID"),
            Fraction(_text(line, ".//ram:BilledQuantity")),
            _unit(line, ".//ram:BilledQuantity"),
            Fraction(_text(line, ".//ram:NetPriceProductTradePrice/ram:ChargeAmount")),
            Fraction(_text(line, f"{settled}//ram:LineTotalAmount")),
            _text(line, f"{settled}/ram:ApplicableTradeTax/ram:CategoryCode"),
            Fraction(_text(line, f"{settled}/ram:ApplicableTradeTax/ram:RateApplicablePercent")),
        )
        for line in root.iter(f"{{{NS['ram']}}}IncludedSupplyChainTradeLineItem")
    ]


def _text(element: ET.Element, path: str) -> str:
    return " ".join(element.findtext(path, "", NS).split())


def _unit(element: ET.Element, path: str) -> str:
    found = element.find(path, NS)
    return "" if found is None else found.get("unitCode", "")


def test_an_exact_decimal_keeps_its_value_in_canonical_form() -> None:
    written = ("4900.0", "+025.50", "-0.0", ".5", "7.")
    assert [decimal_text(text) for text in written] == ["4900", "25.5", "0", "0.5", "7"]
