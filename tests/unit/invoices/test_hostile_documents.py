"""Documents that want something else than to be read. Each is refused by name, and quickly."""

import base64
import time

import pytest
from fairlead_sdk import Refused

from fairlead_invoices import tree
from fairlead_invoices.extraction import extract
from fairlead_invoices.requests import MAX_DOCUMENT_BYTES
from tests.support.invoices import sample

UBL = sample("01-exact-match.xml").decode()
CREDIT = sample("06-credit-note.xml").decode()
CII = sample("10-cii-exact-match.xml").decode()

LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
PAYABLE = '<cbc:PayableAmount currencyID="EUR">2226.40</cbc:PayableAmount>'


def refusal(content: str | bytes) -> str:
    began = time.process_time()
    with pytest.raises(Refused) as refused:
        extract(content.encode() if isinstance(content, str) else content)
    assert time.process_time() - began < 5, "refusing costs little"
    assert len(str(refused.value)) < 300, "the message does not carry the document"
    return refused.value.code


def with_prolog(prolog: str, body: str = UBL) -> str:
    head, _, rest = body.partition("?>\n")
    return f"{head}?>\n{prolog}\n{rest}"


def test_entities_external_or_growing_are_refused() -> None:
    note = "<cbc:Note>As ordered.</cbc:Note>"
    for prolog in (
        f'<!DOCTYPE Invoice [<!ENTITY l0 "ha">{LAUGHS}]>',
        '<!DOCTYPE Invoice [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE Invoice [<!ENTITY % x SYSTEM "http://localhost/x.dtd"> %x;]>',
        '<!DOCTYPE Invoice SYSTEM "http://localhost/invoice.dtd">',
        "<!DOCTYPE Invoice>",
    ):
        assert refusal(with_prolog(prolog, UBL.replace(note, "<cbc:Note>&l9;&x;</cbc:Note>"))) == "entities_forbidden"
    assert refusal(UBL.replace(note, "<cbc:Note>&x;</cbc:Note>")) == "malformed_document"


def test_size_is_bounded_before_anything_is_parsed() -> None:
    padding = " " * (MAX_DOCUMENT_BYTES - len(UBL.encode()))
    assert extract((UBL + padding).encode()).number == "SR-2026-0417"
    assert refusal(UBL + padding + " ") == "document_too_large"


def test_depth_is_bounded() -> None:
    def nested(levels: int) -> str:
        return UBL.replace("</Invoice>", "<x>" * levels + "</x>" * levels + "</Invoice>")

    assert extract(nested(tree.MAX_DEPTH - 1).encode()).number == "SR-2026-0417"
    assert refusal(nested(tree.MAX_DEPTH)) == "document_too_complex"
    assert refusal("<x>" * 1_000_000) == "document_too_complex"


def test_the_number_of_elements_is_bounded() -> None:
    assert refusal(UBL.replace("</Invoice>", "<x/>" * tree.MAX_ELEMENTS + "</Invoice>")) == "document_too_complex"


def test_the_number_of_attributes_is_bounded() -> None:
    many = " ".join(f'a{n}=""' for n in range(tree.MAX_ATTRIBUTES + 1))
    assert refusal(UBL.replace("<cbc:Note>", f"<cbc:Note {many}>")) == "document_too_complex"


def test_the_number_of_lines_is_bounded() -> None:
    start, end = UBL.index("<cac:InvoiceLine>"), UBL.index("</Invoice>")
    assert refusal(UBL[:end] + UBL[start:end] * 1_001 + "</Invoice>") == "document_too_complex"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"   ",
        b"not xml at all",
        b"%PDF-1.7",
        UBL[:3_000].encode(),
        sample("07-malformed.xml"),
        UBL.encode() + b"<Invoice/>",
        UBL.encode().replace(b"As ordered.", b"As \xff\xfe ordered."),
        UBL.replace("As ordered.", "As \x01 ordered.").encode(),
        UBL.replace('encoding="UTF-8"', 'encoding="UTF-16"').encode(),
        UBL.replace('encoding="UTF-8"', 'encoding="no-such-encoding"').encode(),
        base64.b64encode(UBL.encode()),
    ],
)
def test_what_is_no_well_formed_xml_is_refused(content: bytes) -> None:
    assert refusal(content) == "malformed_document"


def test_other_roots_are_refused() -> None:
    assert refusal("<html><body/></html>") == "unsupported_format"
    assert refusal(UBL.replace("xsd:Invoice-2", "xsd:Invoice-3")) == "unsupported_format"
    assert refusal(UBL.replace("Invoice-2", "Order-2")) == "unsupported_format"
    assert refusal("<Invoice><ID>1</ID></Invoice>") == "unsupported_format"


@pytest.mark.parametrize(
    "twice",
    [
        PAYABLE,
        "<cbc:ID>SR-2026-0417</cbc:ID>",
        "<cbc:IssueDate>2026-09-01</cbc:IssueDate>",
        "<cbc:DocumentCurrencyCode>EUR</cbc:DocumentCurrencyCode>",
        "<cbc:CompanyID>NL999900001B01</cbc:CompanyID>",
        '<cbc:PriceAmount currencyID="EUR">6.40</cbc:PriceAmount>',
        "<cbc:LineID>1</cbc:LineID>",
    ],
)
def test_an_element_that_may_come_once_and_comes_twice_is_refused(twice: str) -> None:
    assert UBL.count(twice) == 1
    assert refusal(UBL.replace(twice, twice + twice)) == "malformed_document"


def test_a_second_total_of_the_same_kind_is_refused_whatever_the_syntax() -> None:
    tax = UBL[UBL.index("  <cac:TaxTotal>") : UBL.index("  <cac:LegalMonetaryTotal>")]
    assert refusal(UBL.replace(tax, tax + tax)) == "malformed_document"
    due = "<ram:DuePayableAmount>1837.96</ram:DuePayableAmount>"
    assert refusal(CII.replace(due, due + due)) == "malformed_document"


@pytest.mark.parametrize(
    ("found", "instead"),
    [
        (PAYABLE, ""),
        (PAYABLE, '<cbc:PayableAmount currencyID="USD">2226.40</cbc:PayableAmount>'),
        ("2226.40</cbc:PayableAmount>", "2226.405</cbc:PayableAmount>"),
        ("2226.40</cbc:PayableAmount>", "2.2264e3</cbc:PayableAmount>"),
        ("2226.40</cbc:PayableAmount>", "2,226.40</cbc:PayableAmount>"),
        ("2226.40</cbc:PayableAmount>", "NaN</cbc:PayableAmount>"),
        ("2226.40</cbc:PayableAmount>", "٢٢٢٦</cbc:PayableAmount>"),
        ("2226.40</cbc:PayableAmount>", "9" * 40 + "</cbc:PayableAmount>"),
        ("2226.40</cbc:PayableAmount>", "99999999999999.99</cbc:PayableAmount>"),
        (">2026-09-01<", ">01.09.2026<"),
        (">2026-09-01<", ">2026-02-30<"),
        (">2026-09-01<", ">2026-W36-2<"),
        (">SR-2026-0417</cbc:ID>\n  <cbc:IssueDate", ">" + "9" * 201 + "</cbc:ID>\n  <cbc:IssueDate"),
        ('unitCode="MTR"', ""),
        ("<cbc:InvoiceTypeCode>380<", "<cbc:InvoiceTypeCode>381<"),
    ],
)
def test_values_that_are_not_what_they_should_be_are_refused(found: str, instead: str) -> None:
    assert found in UBL
    assert refusal(UBL.replace(found, instead, 1)) == "malformed_document"


def test_an_invoice_without_lines_or_an_identified_seller_is_refused() -> None:
    start, end = UBL.index("<cac:InvoiceLine>"), UBL.index("</Invoice>")
    assert refusal(UBL[:start] + UBL[end:]) == "malformed_document"
    nameless = UBL.replace("NL999900001B01", "").replace("<cbc:CompanyID>99990001<", "<cbc:CompanyID><")
    assert refusal(nameless) == "malformed_document"


def test_a_currency_that_is_not_in_use_is_refused() -> None:
    assert refusal(UBL.replace("EUR", "XTS")) == "unsupported_currency"


def test_a_credit_note_with_the_type_of_an_invoice_is_refused() -> None:
    assert refusal(CREDIT.replace(">381<", ">380<")) == "malformed_document"


def test_prefixes_may_be_called_anything() -> None:
    renamed = UBL.replace("cbc:", "a:").replace("xmlns:cbc", "xmlns:a")
    assert extract(renamed.encode()).lines == extract(UBL.encode()).lines


def test_elements_of_a_foreign_namespace_do_not_count() -> None:
    foreign = '<x:PayableAmount xmlns:x="urn:other" currencyID="EUR">1.00</x:PayableAmount>'
    assert extract(UBL.replace(PAYABLE, foreign + PAYABLE).encode()).totals.payable_minor == 222640


def test_other_encodings_that_say_so_are_read() -> None:
    for encoding in ("UTF-16", "ISO-8859-1"):
        content = UBL.replace("UTF-8", encoding).replace("As ordered", "Wie bestellt für Köln").encode(encoding)
        assert extract(content).totals.payable_minor == 222640


def test_the_minor_unit_follows_the_currency() -> None:
    assert extract(UBL.replace("EUR", "BHD").encode()).totals.payable_minor == 2226400
    yen = UBL.replace("EUR", "JPY").replace("6.40<", "6<").replace("2226.40", "2226.00").replace(".40<", ".00<")
    assert extract(yen.encode()).totals.payable_minor == 2226
