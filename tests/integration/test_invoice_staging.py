"""The SQL tools on a real PostgreSQL: look-up, duplicates, staging once, and never on the caller's word alone."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fairlead_sdk import Refused, TryLater
from psycopg import AsyncConnection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.support.invoices import Bench, invoice_bench, sample

RIGHTS = (
    "CREATE ROLE {role} LOGIN PASSWORD 'test'",
    "GRANT SELECT ON purchase_orders, purchase_order_lines TO {role}",
    "GRANT SELECT, INSERT ON staged_invoices, staged_invoice_lines, staged_payments, rejections TO {role}",
    "GRANT UPDATE (status) ON staged_invoices TO {role}",
)


@pytest.fixture
async def bench(postgres_admin_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with invoice_bench(postgres_admin_url, tmp_path / "intake") as ready:
        yield ready


async def staging(bench: Bench, name: str, order_number: str = "", **changed: Any) -> dict[str, Any]:
    """The arguments that the workflow would give for a sample."""
    document = await bench.call("read_document", document=bench.names[name])
    found = await bench.call("find_order", number=order_number or document["order_reference"])
    compared = await bench.call("compare", document=document, order=found["order"])
    shared = ("seller_id", "number", "issue_date", "currency")
    figures = ("order_number", "total_variance_minor", "absolute_variance_minor", "variance_bp", "concerns")
    return {
        "document": document["sha256"],
        "seller_name": document["seller"]["name"],
        "payable_minor": document["totals"]["payable_minor"],
        **{field: document[field] for field in shared},
        **{field: compared[field] for field in figures},
        **changed,
    }


async def payment(bench: Bench, name: str, key: str = "invoice", **changed: Any) -> dict[str, Any]:
    """The arguments to pay a sample that is staged on the way."""
    asked = await staging(bench, name)
    staged = await bench.call("stage_invoice", key, **asked)
    document = await bench.call("read_document", document=asked["document"])
    for field in ("issue_date", "total_variance_minor"):
        del asked[field]
    return {
        **asked,
        "staged_id": staged["staged_id"],
        "amount_minor": asked["payable_minor"],
        "iban": document["payment_accounts"][0]["iban"],
        "reference": asked["number"],
        **changed,
    }


async def refusal(bench: Bench, tool: str, key: str = "key", **arguments: Any) -> str:
    with pytest.raises(Refused) as refused:
        await bench.call(tool, key, **arguments)
    return refused.value.code


async def test_an_order_is_found_with_what_is_staged_against_it(bench: Bench) -> None:
    found = await bench.call("find_order", number="PO-1001")
    assert (found["found"], found["order"]["total_minor"], found["order"]["invoiced_minor"]) == (True, 184000, 0)
    assert [(each["id"], each["quantity"], each["unit_price"]) for each in found["order"]["lines"]] == [
        ("1", "200", "6.4"),
        ("2", "40", "14"),
    ]
    await bench.call("stage_invoice", **await staging(bench, "01-exact-match.xml"))
    after = await bench.call("find_order", number="PO-1001")
    assert [each["invoiced_quantity"] for each in after["order"]["lines"]] == ["200", "40"]
    assert after["order"]["invoiced_minor"] == 184000


@pytest.mark.parametrize("number", [None, "PO-9999", "' OR '1'='1", "PO-1001'; DROP TABLE purchase_orders; --"])
async def test_what_is_not_an_order_s_number_finds_nothing(bench: Bench, number: str | None) -> None:
    assert await bench.call("find_order", number=number) == {"found": False, "order": None}


async def test_a_number_of_a_seller_is_a_duplicate_once_it_is_staged(bench: Bench) -> None:
    asked = await staging(bench, "01-exact-match.xml")
    question = {"seller_id": "NL 9999.00001.B01", "number": asked["number"]}
    assert not (await bench.call("check_duplicate", **question))["duplicate"]
    staged = await bench.call("stage_invoice", **asked)
    answer = await bench.call("check_duplicate", **question)
    assert (answer["duplicate"], answer["staged_id"], answer["document"]) == (
        True,
        staged["staged_id"],
        asked["document"],
    )
    assert not (await bench.call("check_duplicate", **question, kind="credit_note"))["duplicate"]


async def test_the_same_key_stages_once_and_gives_the_same_answer(bench: Bench) -> None:
    asked = await staging(bench, "01-exact-match.xml")
    answers = await asyncio.gather(*(bench.call("stage_invoice", "key", **asked) for _ in range(6)))
    assert all(answer == answers[0] for answer in answers)
    assert await bench.verify("stage_invoice", "key", **asked) is not None
    assert await bench.verify("stage_invoice", "another", **asked) is None
    assert await bench.rows("SELECT count(*) FROM staged_invoices WHERE number = 'SR-2026-0417'") == [(1,)]


async def test_a_second_key_for_the_same_invoice_is_refused_even_at_the_same_moment(bench: Bench) -> None:
    asked = await staging(bench, "01-exact-match.xml")
    calls = (bench.call("stage_invoice", f"key-{number}", **asked) for number in range(6))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    codes = sorted(answer.code if isinstance(answer, Refused) else "staged" for answer in answers)
    assert codes == [*["duplicate_document"] * 5, "staged"]


async def test_a_key_does_not_answer_for_another_document(bench: Bench) -> None:
    await bench.call("stage_invoice", "key", **await staging(bench, "01-exact-match.xml"))
    other = await staging(bench, "10-cii-exact-match.xml")
    assert await refusal(bench, "stage_invoice", "key", **other) == "key_reused"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("payable_minor", 1),
        ("absolute_variance_minor", 0),
        ("total_variance_minor", 0),
        ("variance_bp", 0),
        ("seller_id", "DE1"),
        ("seller_name", "Somebody"),
        ("number", "X"),
        ("issue_date", "2026-01-01"),
        ("currency", "USD"),
        ("concerns", ["supplier"]),
    ],
)
async def test_figures_that_the_caller_made_up_are_refused(bench: Bench, field: str, value: Any) -> None:
    asked = await staging(bench, "03-large-variance.xml", **{field: value})
    assert await refusal(bench, "stage_invoice", **asked) == "arguments_disagree"
    assert await bench.rows("SELECT count(*) FROM staged_invoices WHERE number = 'TP-5521'") == [(0,)]


async def test_what_was_staged_meanwhile_makes_an_old_comparison_worthless(bench: Bench) -> None:
    asked = await staging(bench, "01-exact-match.xml")
    other = await _variant(bench, "01-exact-match.xml", {"SR-2026-0417": "SR-2026-9999"})
    first = {**asked, "document": other, "number": "SR-2026-9999"}
    await bench.call("stage_invoice", "first", **first)
    assert await refusal(bench, "stage_invoice", "second", **asked) == "arguments_disagree"


async def _variant(bench: Bench, name: str, changed: dict[str, str]) -> str:
    """Store a sample with other words in it."""
    content = sample(name).decode()
    for found, instead in changed.items():
        content = content.replace(found, instead)
    stored = await bench.call("store_document", content=content)
    return str(stored["document"])


async def test_an_order_that_is_gone_and_a_document_of_the_other_kind_are_refused(bench: Bench) -> None:
    asked = await staging(bench, "01-exact-match.xml")
    assert await refusal(bench, "stage_invoice", **{**asked, "order_number": "PO-0"}) == "order_not_found"
    assert await refusal(bench, "stage_credit", **asked) == "wrong_kind"
    assert await refusal(bench, "stage_invoice", **{**asked, "document": "0" * 64}) == "document_not_found"


async def test_reviewers_see_document_order_and_differences_before_and_after(bench: Bench) -> None:
    asked = await staging(bench, "03-large-variance.xml")
    shown = await bench.preview("stage_invoice", **asked)
    assert shown["before"] == {"staged": False, "order_invoiced_minor": 0}
    assert shown["after"] == {"staged": True, "order_invoiced_minor": 291500, "payable_minor": 364375}
    evidence = shown["evidence"]
    assert evidence["document"]["number"] == "TP-5521"
    assert evidence["order"]["number"] == "PO-1003"
    assert [(each["kind"], each["amount_minor"]) for each in evidence["comparison"]["differences"]] == [
        ("quantity", 23600),
        ("charge", 8500),
    ]
    assert await bench.preview("stage_invoice", **asked) == shown
    assert await bench.rows("SELECT count(*) FROM staged_invoices WHERE number = 'TP-5521'") == [(0,)]


async def test_a_credit_note_gives_quantities_back(bench: Bench) -> None:
    asked = await staging(bench, "06-credit-note.xml")
    await bench.call("stage_credit", **asked)
    order = (await bench.call("find_order", number="PO-1006"))["order"]
    assert (order["invoiced_minor"], order["lines"][0]["invoiced_quantity"]) == (64000 - 12800, "8")


async def test_credit_notes_together_never_exceed_their_invoice(bench: Bench) -> None:
    whole = {'<cbc:CreditedQuantity unitCode="C62">2<': '<cbc:CreditedQuantity unitCode="C62">10<'}
    larger = {"128.00": "640.00", "160.00": "800.00", ">32.00<": ">160.00<", **whole}
    await bench.call("stage_credit", "all", **await _credit(bench, {**larger, "TPC-0091": "TPC-0092"}))
    asked = await staging(bench, "06-credit-note.xml")
    assert await refusal(bench, "stage_credit", "more", **asked) == "credit_exceeds_invoice"


async def test_a_credit_note_for_an_invoice_that_was_never_staged_is_refused(bench: Bench) -> None:
    asked = await _credit(bench, {"TP-5490": "TP-0000"})
    assert await refusal(bench, "stage_credit", **asked) == "preceding_invoice_unknown"


async def _credit(bench: Bench, changed: dict[str, str]) -> dict[str, Any]:
    """The arguments to stage a variant of the sample credit note."""
    bench.names = {**bench.names, "variant": await _variant(bench, "06-credit-note.xml", changed)}
    return await staging(bench, "variant")


async def test_a_payment_is_staged_once_and_read_back_by_its_key(bench: Bench) -> None:
    asked = await payment(bench, "01-exact-match.xml")
    first, second = await asyncio.gather(*(bench.call("stage_payment", "pay", **asked) for _ in range(2)))
    assert first == second == await bench.verify("stage_payment", "pay", **asked)
    assert await refusal(bench, "stage_payment", "pay again", **asked) == "duplicate_payment"
    assert await bench.rows("SELECT amount_minor, iban FROM staged_payments") == [(222640, "NL92FAIR0000000101")]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"amount_minor": 222641}, "amount_exceeds_due"),
        ({"iban": "NL00ELSEWHERE"}, "account_not_on_document"),
        ({"payable_minor": 222641}, "arguments_disagree"),
        ({"absolute_variance_minor": 1}, "arguments_disagree"),
        ({"concerns": ["supplier"]}, "arguments_disagree"),
        ({"document": None}, "arguments_disagree"),
        ({"staged_id": 10_000}, "invoice_not_staged"),
    ],
)
async def test_a_payment_that_the_staged_invoice_does_not_bear_out_is_refused(
    bench: Bench, changed: dict[str, Any], code: str
) -> None:
    if "document" in changed:
        changed = {"document": bench.names["10-cii-exact-match.xml"]}
    asked = await payment(bench, "01-exact-match.xml", **changed)
    assert await refusal(bench, "stage_payment", "pay", **asked) == code
    assert await bench.rows("SELECT count(*) FROM staged_payments") == [(0,)]


async def test_a_smaller_payment_is_possible_and_its_preview_says_what_stays_open(bench: Bench) -> None:
    asked = await payment(bench, "01-exact-match.xml", amount_minor=200_000)
    shown = await bench.preview("stage_payment", **asked)
    assert (shown["before"]["open_minor"], shown["after"]["open_minor"]) == (222640, 22640)
    assert shown["evidence"]["staged"]["number"] == shown["evidence"]["document"]["number"] == "SR-2026-0417"
    assert (await bench.call("stage_payment", "pay", **asked))["amount_minor"] == 200_000


async def test_a_rejection_withdraws_what_was_staged_and_the_invoice_may_come_again(bench: Bench) -> None:
    asked = await staging(bench, "01-exact-match.xml")
    staged = await bench.call("stage_invoice", "first", **asked)
    refused = {"document": asked["document"], "reason_code": "payment_denied", "reason": "No."}
    rejected = await bench.call("record_rejection", "no", **refused, staged_id=staged["staged_id"])
    assert rejected == await bench.call("record_rejection", "no", **refused, staged_id=staged["staged_id"])
    assert rejected["withdrawn_id"] == staged["staged_id"]
    again = await bench.call("stage_invoice", "second", **asked)
    assert again["staged_id"] > staged["staged_id"]


async def test_an_invoice_with_a_payment_cannot_be_withdrawn(bench: Bench) -> None:
    asked = await payment(bench, "01-exact-match.xml")
    await bench.call("stage_payment", "pay", **asked)
    refused = {
        "document": asked["document"],
        "reason_code": "late",
        "reason": "Too late.",
        "staged_id": asked["staged_id"],
    }
    assert await refusal(bench, "record_rejection", **refused) == "not_withdrawable"
    assert await bench.rows("SELECT count(*) FROM rejections") == [(0,)]


async def test_a_document_is_kept_as_it_came_under_its_hash(bench: Bench) -> None:
    content = "<anything that came"
    first = await bench.call("store_document", content=content)
    assert first == await bench.call("store_document", content=content)
    assert first == await bench.verify("store_document", content=content)
    assert await bench.verify("store_document", content="never stored") is None
    assert await refusal(bench, "read_document", document=first["document"]) == "malformed_document"


async def test_a_stored_document_that_was_changed_is_not_read(bench: Bench) -> None:
    name = bench.names["01-exact-match.xml"]
    _damage(Path(bench.settings["intake_dir"]) / name[:2] / f"{name}.xml")
    assert await refusal(bench, "read_document", document=name) == "document_damaged"


def _damage(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b" ")


async def test_a_database_that_does_not_answer_is_something_for_later(bench: Bench) -> None:
    bench.settings = {**bench.settings, "orders_dsn": "host=127.0.0.1 port=1 user=nobody dbname=none"}
    with pytest.raises(TryLater) as later:
        await bench.call("find_order", number="PO-1001")
    assert "nobody" not in str(later.value)


async def test_a_connection_that_died_in_the_pool_is_replaced(bench: Bench) -> None:
    await bench.call("find_order", number="PO-1001")
    await bench.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fairlead-invoices'"
    )
    assert (await bench.call("find_order", number="PO-1001"))["found"]


async def test_the_rights_that_the_example_names_are_enough(bench: Bench) -> None:
    dsn = bench.settings["orders_dsn"]
    role = conninfo_to_dict(dsn)["dbname"]
    async with await AsyncConnection.connect(dsn, autocommit=True) as admin:
        for statement in RIGHTS:
            await admin.execute(sql.SQL(statement).format(role=sql.Identifier(str(role))))
        bench.settings = {**bench.settings, "orders_dsn": make_conninfo(dsn, user=role, password="test")}
        asked = await payment(bench, "03-large-variance.xml")
        await bench.call("stage_payment", "pay", **asked)
        other = await staging(bench, "01-exact-match.xml")
        staged = await bench.call("stage_invoice", "other", **other)
        refused = {
            "document": other["document"],
            "reason_code": "no",
            "reason": "No.",
            "staged_id": staged["staged_id"],
        }
        assert (await bench.call("record_rejection", "no", **refused))["withdrawn_id"] == staged["staged_id"]
        await bench.connector.close()
        await admin.execute(sql.SQL("DROP OWNED BY {role}; DROP ROLE {role}").format(role=sql.Identifier(str(role))))


async def test_without_settings_the_connector_says_which_is_missing(bench: Bench) -> None:
    bench.settings = {}
    assert await refusal(bench, "find_order", number="PO-1001") == "not_configured"
    assert await refusal(bench, "read_document", document="0" * 64) == "not_configured"
