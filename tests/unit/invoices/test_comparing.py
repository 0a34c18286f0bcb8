"""Variance: what an order explains of a document, by example and by property."""

from fractions import Fraction
from typing import Any

import pytest
from fairlead_sdk import Refused
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fairlead_invoices.amounts import MAX_BP, MAX_MINOR, ratio_bp, rounded
from fairlead_invoices.comparing import compare
from fairlead_invoices.document import AllowanceCharge, Finding, PaymentAccount
from fairlead_invoices.order import Comparison
from tests.support.invoices import document, line, order, order_line, totals


def kinds(comparison: Comparison) -> list[tuple[str, int]]:
    return [(each.kind, each.amount_minor) for each in comparison.differences]


def test_what_was_ordered_at_the_order_s_price_is_no_difference() -> None:
    found = compare(document(line(1), line(2)), order(order_line(1), order_line(2)))
    assert (found.differences, found.concerns) == ((), ())
    assert (found.total_variance_minor, found.absolute_variance_minor, found.variance_bp) == (0, 0, 0)
    assert (found.direction, found.coverage) == ("none", "full")


def test_a_partial_delivery_is_no_difference() -> None:
    found = compare(document(line(quantity="1")), order(order_line(quantity="5", invoiced_quantity="2")))
    assert (found.differences, found.coverage) == ((), "partial")


def test_more_than_what_is_open_is_a_difference_of_quantity() -> None:
    found = compare(document(line(quantity="2")), order(order_line(quantity="5", invoiced_quantity="4")))
    assert kinds(found) == [("quantity", 1000)]
    assert (found.expected_minor, found.direction, found.variance_bp) == (1000, "over", 10_000)


def test_two_lines_of_one_order_line_share_what_is_open() -> None:
    found = compare(document(line(1), line(2, order_line="1")), order(order_line(quantity="3")))
    assert kinds(found) == [("quantity", 1000)]


def test_another_price_is_a_difference_in_either_direction() -> None:
    dearer = compare(document(line(unit_price="10.5")), order())
    cheaper = compare(document(line(unit_price="9.5")), order())
    assert (kinds(dearer), dearer.direction) == ([("price", 100)], "over")
    assert (kinds(cheaper), cheaper.direction) == ([("price", -100)], "under")


def test_a_price_for_several_units_is_compared_per_unit() -> None:
    found = compare(document(line(unit_price="1000", price_quantity="100", total_minor=2000)), order())
    assert found.differences == ()


def test_opposite_differences_do_not_hide_each_other() -> None:
    lines = line(1, unit_price="15"), line(2, unit_price="5")
    found = compare(document(*lines), order(order_line(1), order_line(2)))
    assert (found.total_variance_minor, found.absolute_variance_minor) == (0, 2000)
    assert (found.direction, found.variance_bp) == ("none", 5_000)


def test_a_line_that_nobody_ordered_is_all_difference() -> None:
    found = compare(document(line(1), line(7)), order())
    assert kinds(found) == [("unmatched_line", 2000)]
    assert [match.matched_by for match in found.matches] == ["order_line", "nothing"]


def test_a_line_without_reference_is_found_by_item_or_by_name_and_price() -> None:
    ordered = order_line(1, item_id="A"), order_line(2, item_id="B"), order_line(3, item_id="B", unit_price="11")
    lines = (
        line(1, order_line=None, item_id="A"),
        line(2, order_line=None, item_id="B"),
        line(3, order_line=None, name="THING 3", unit_price="11"),
    )
    found = compare(document(*lines), order(*ordered))
    assert [(match.order_line, match.matched_by) for match in found.matches] == [
        ("1", "item_id"),
        ("2", "description"),
        ("3", "description"),
    ]


def test_another_tax_rate_is_a_difference_of_its_tax() -> None:
    assert kinds(compare(document(line(tax_rate="25")), order())) == [("tax_rate", 100)]


def test_document_charges_allowances_and_stray_totals_are_differences() -> None:
    parts = (
        AllowanceCharge(charge=True, amount_minor=500, reason="Freight"),
        AllowanceCharge(charge=False, amount_minor=200),
    )
    found = compare(
        document(allowances_charges=parts, totals=totals(2400, rounding_minor=7, prepaid_minor=-50)), order()
    )
    assert kinds(found) == [("charge", 500), ("allowance", -200), ("total", 100), ("rounding", 7), ("prepaid", 50)]


def test_a_line_s_own_allowance_is_a_difference_of_amount() -> None:
    assert kinds(compare(document(line(total_minor=1900)), order())) == [("amount", -100)]


def test_a_credit_note_gives_back_what_was_invoiced_and_no_more() -> None:
    def credited(invoiced: str) -> Comparison:
        note = document(kind="credit_note", preceding_invoices=("INV-0",))
        return compare(note, order(order_line(quantity="5", invoiced_quantity=invoiced)))

    assert credited("2").differences == ()
    assert kinds(credited("1")) == [("quantity", 1000)]
    assert kinds(credited("0")) == [("quantity", 2000)]


def test_a_negative_line_gives_back_what_an_earlier_line_took() -> None:
    lines = line(1, quantity="5"), line(2, order_line="1", quantity="-2", total_minor=-2000)
    found = compare(document(*lines), order(order_line(quantity="5")))
    assert (found.differences, found.coverage) == ((), "partial")


@pytest.mark.parametrize(
    ("changed", "concern"),
    [
        ({"seller_id": "DE2"}, "supplier"),
        ({"currency": "USD"}, "currency"),
        ({"payment_accounts": (PaymentAccount(means="30", iban="XX2"),)}, "bank_account"),
        ({"checks": (Finding(rule="R", message="", printed_minor=1, computed_minor=2),)}, "arithmetic"),
        ({"kind": "credit_note"}, "no_preceding_invoice"),
        ({"lines": (line(item_id="B"),)}, "item"),
        ({"lines": (line(unit="KGM"),)}, "unit"),
    ],
)
def test_what_no_amount_expresses_is_a_concern(changed: dict[str, Any], concern: str) -> None:
    ordered = order(order_line(item_id="A", invoiced_quantity="0"), supplier_iban="XX1")
    assert compare(document(), ordered).concerns == ()
    assert compare(document(**changed), ordered).concerns == (concern,)


def test_a_closed_order_is_a_concern() -> None:
    assert compare(document(), order(status="closed")).concerns == ("order_closed",)


def test_the_order_of_another_supplier_or_currency_explains_nothing() -> None:
    for found in (compare(document(seller_id="DE2"), order()), compare(document(currency="USD"), order())):
        assert (found.expected_minor, found.coverage, found.variance_bp) == (0, "nothing", MAX_BP)
        assert kinds(found) == [("unmatched_line", 2000)]


def test_figures_that_make_an_endless_amount_are_refused() -> None:
    huge = order(order_line(quantity="9" * 18, unit_price="9" * 18))
    with pytest.raises(Refused) as refused:
        compare(document(line(quantity="9" * 18, unit_price="1", total_minor=1)), huge)
    assert refused.value.code == "amount_out_of_range"


CENTS = st.integers(-10_000_000, 10_000_000)
QUANTITIES = st.integers(-500, 500).map(str)
OPEN = st.integers(0, 500).map(str)
PRICES = st.decimals(0, 1_000, places=4).map(lambda price: f"{price.normalize():f}")
LINES = st.builds(
    lambda number, quantity, price, cents, rate: line(
        number, order_line=str(number % 5), quantity=quantity, unit_price=price, total_minor=cents, tax_rate=rate
    ),
    st.integers(0, 9),
    QUANTITIES,
    PRICES,
    CENTS,
    st.sampled_from(["0", "7", "20"]),
)
ORDERED = st.builds(
    lambda quantity, price, before: order_line(quantity=quantity, unit_price=price, invoiced_quantity=before),
    OPEN,
    PRICES,
    OPEN,
)
CHARGES = st.builds(lambda charge, cents: AllowanceCharge(charge=charge, amount_minor=cents), st.booleans(), CENTS)


@st.composite
def pairs(draw: st.DrawFn) -> Comparison:
    lines = draw(st.lists(LINES, min_size=1, max_size=8))
    ordered = [replace(each, id=str(number)) for number, each in enumerate(draw(st.lists(ORDERED, max_size=4)))]
    parts = tuple(draw(st.lists(CHARGES, max_size=3)))
    kind = draw(st.sampled_from(["invoice", "credit_note"]))
    printed = totals(draw(CENTS), rounding_minor=draw(CENTS))
    paper = document(*lines, kind=kind, allowances_charges=parts, totals=printed)
    return compare(paper, replace(order(), lines=tuple(ordered)))


@given(pairs())
def test_differences_add_up_to_the_variance_and_nothing_is_lost(found: Comparison) -> None:
    amounts = [each.amount_minor for each in found.differences]
    beyond = sum(each.amount_minor for each in found.differences if each.kind in ("tax_rate", "rounding"))
    assert found.total_variance_minor == sum(amounts) == found.invoiced_minor - found.expected_minor + beyond
    assert found.absolute_variance_minor == sum(map(abs, amounts)) >= abs(found.total_variance_minor)
    assert found.expected_minor == sum(match.expected_minor for match in found.matches)
    assert (found.direction == "over") == (found.total_variance_minor > 0)
    assert (found.direction == "under") == (found.total_variance_minor < 0)


@given(st.lists(ORDERED, min_size=1, max_size=6))
def test_an_invoice_of_exactly_what_is_open_has_no_difference(lines: list[Any]) -> None:
    ordered = [replace(each, id=str(number), invoiced_quantity="0") for number, each in enumerate(lines)]
    asked = [
        line(
            number,
            quantity=each.quantity,
            unit_price=each.unit_price,
            total_minor=rounded(Fraction(each.quantity) * Fraction(each.unit_price) * 100),
        )
        for number, each in enumerate(ordered)
    ]
    found = compare(document(*asked), replace(order(), lines=tuple(ordered)))
    assert (found.differences, found.coverage) == ((), "full")


@given(st.integers(-MAX_MINOR, MAX_MINOR), st.integers(-MAX_MINOR, MAX_MINOR))
def test_basis_points_never_say_less_than_the_ratio(part: int, whole: int) -> None:
    bp = ratio_bp(part, whole)
    assert 0 <= bp <= MAX_BP
    assert (bp == 0) == (part == 0)
    if whole and bp < MAX_BP:
        assert bp - 1 < Fraction(abs(part) * 10_000, abs(whole)) <= bp


@given(st.fractions(-1_000, 1_000))
def test_rounding_goes_to_the_nearest_and_is_the_same_for_both_signs(value: Fraction) -> None:
    assert abs(rounded(value) - value) <= Fraction(1, 2)
    assert rounded(-value) == -rounded(value)
    assert [rounded(Fraction(half, 2)) for half in (1, 3, -1, -3)] == [1, 2, -1, -2]
