"""Do the figures of a document agree with each other? The calculation rules of EN 16931 and Peppol's rule for lines.

A finding is no refusal: the document can be read, and a person decides what it is worth.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from fractions import Fraction

from fairlead_invoices.amounts import MAX_MINOR, exponent, rounded
from fairlead_invoices.document import AllowanceCharge, Document, Finding, Line


def findings(document: Document) -> tuple[Finding, ...]:
    """Every figure that is not what the others make it."""
    return (*_line_findings(document), *_total_findings(document), *_tax_findings(document))


def _line_findings(document: Document) -> Iterator[Finding]:
    for line in document.lines:
        yield from _compare(
            "R120", "quantity times price", line.total_minor, line_minor(line, document.currency), line.id
        )


def line_minor(line: Line, currency: str) -> int:
    """Quantity times price per its quantity, rounded, with the line's own charges and less its allowances.

    A price for no quantity makes nothing: 0.
    """
    per = Fraction(line.price_quantity)
    if per == 0:
        return 0
    gross = Fraction(line.quantity) * Fraction(line.unit_price) / per * 10 ** exponent(currency)
    return rounded(gross) + net_minor(line.allowances_charges)


def net_minor(allowances_charges: Iterable[AllowanceCharge]) -> int:
    """Charges less allowances."""
    return sum(each.amount_minor if each.charge else -each.amount_minor for each in allowances_charges)


def _total_findings(document: Document) -> Iterator[Finding]:
    totals, parts = document.totals, document.allowances_charges
    allowances = sum(part.amount_minor for part in parts if not part.charge)
    charges = sum(part.amount_minor for part in parts if part.charge)
    exclusive = totals.lines_minor - totals.allowances_minor + totals.charges_minor
    payable = totals.tax_inclusive_minor - totals.prepaid_minor + totals.rounding_minor
    lines = sum(line.total_minor for line in document.lines)
    yield from _compare("BR-CO-10", "sum of lines", totals.lines_minor, lines)
    yield from _compare("BR-CO-11", "sum of allowances", totals.allowances_minor, allowances)
    yield from _compare("BR-CO-12", "sum of charges", totals.charges_minor, charges)
    yield from _compare("BR-CO-13", "total without tax", totals.tax_exclusive_minor, exclusive)
    yield from _compare(
        "BR-CO-15", "total with tax", totals.tax_inclusive_minor, totals.tax_exclusive_minor + totals.tax_minor
    )
    yield from _compare("BR-CO-16", "amount due", totals.payable_minor, payable)


def _tax_findings(document: Document) -> Iterator[Finding]:
    subtotals = document.tax_subtotals
    yield from _compare(
        "BR-CO-14", "total tax", document.totals.tax_minor, sum(subtotal.tax_minor for subtotal in subtotals)
    )
    for subtotal in subtotals:
        tax = rounded(Fraction(subtotal.taxable_minor) * Fraction(subtotal.rate) / 100)
        yield from _compare("BR-CO-17", f"tax at {subtotal.rate} %", subtotal.tax_minor, tax)
    printed: dict[tuple[str, str], int] = defaultdict(int)
    for subtotal in subtotals:
        printed[subtotal.category, subtotal.rate] += subtotal.taxable_minor
    computed = _taxable_by_rate(document)
    for category, rate in sorted(printed.keys() | computed.keys()):
        yield from _compare(
            f"BR-{category}-08",
            f"taxable amount at {rate} %",
            printed[category, rate],
            computed.get((category, rate), 0),
        )


def _taxable_by_rate(document: Document) -> dict[tuple[str, str], int]:
    taxable: dict[tuple[str, str], int] = defaultdict(int)
    for line in document.lines:
        taxable[line.tax_category, line.tax_rate] += line.total_minor
    for part in document.allowances_charges:
        if part.tax_category is not None and part.tax_rate is not None:
            taxable[part.tax_category, part.tax_rate] += net_minor((part,))
    return taxable


def _compare(rule: str, what: str, printed: int, computed: int, line_id: str | None = None) -> Iterator[Finding]:
    if printed != computed:
        shown = max(-MAX_MINOR, min(MAX_MINOR, computed))
        yield Finding(
            rule=rule, message=f"{what} differs", printed_minor=printed, computed_minor=shown, line_id=line_id
        )
