"""A document of statements: what becomes of it, and everything that can be wrong with it."""

from typing import Any

import pytest
from fairlead_sdk import Effect, Idempotency
from fairlead_sdk.auth import NO_AUTH, AuthKind
from fairlead_sdk.checks import faults_of

from fairlead_sql import SqlConnector
from fairlead_sql.placeholders import Unreadable, scanned
from tests.support.sql_statements import AMOUNT, FIND, NUMBER, STAGE, imported, read


def test_the_connector_check_finds_nothing() -> None:
    assert [str(fault) for fault in faults_of(SqlConnector.manifest, shipped=True)] == []


def test_each_statement_is_a_tool() -> None:
    tool_set = imported(FIND, STAGE)
    find, stage = tool_set.tools
    assert (find.name, find.effect, find.idempotency) == ("ledger.find_bills", Effect.READ, Idempotency.NATURAL)
    assert find.input["required"] == ["number"]
    assert find.output["properties"]["rows"]["maxItems"] == 2
    assert (stage.effect, stage.idempotency, stage.writes) == (Effect.WRITE, Idempotency.KEY, ("bill",))
    assert "idempotency_key" not in stage.input["properties"]
    assert (tool_set.auth.kind, tool_set.auth.handed_over) == (AuthKind.BASIC, True)
    assert tool_set.egress == ("{server}",)


def test_a_file_needs_no_account_and_reaches_no_host() -> None:
    tool_set = imported(FIND, dialect="sqlite")
    assert (tool_set.auth, tool_set.egress) == (NO_AUTH, ())


def test_a_write_that_says_nothing_cannot_be_repeated() -> None:
    (tool,) = imported(STAGE | {"idempotency": None}).tools
    assert tool.idempotency is Idempotency.NONE


def test_a_document_may_be_yaml() -> None:
    document = b"""
fairlead_sql: 1
title: Ledger
dialect: sqlite
statements:
  - name: count_bills
    title: Count
    description: How many there are.
    sql: |
      SELECT count(*) AS n FROM bills;
    columns: {n: {type: integer}}
"""
    found = SqlConnector().read("ledger", document, {})
    assert found.tool_set is not None
    assert [tool.name for tool in found.tool_set.tools] == ["ledger.count_bills"]


@pytest.mark.parametrize(
    ("changed", "path", "code"),
    [
        ({"sql": "SELECT 1; DROP TABLE bills"}, "/sql", "unreadable"),
        ({"sql": "SELECT E'it\\'s :number'"}, "/sql", "unreadable"),
        ({"sql": "SELECT $$:number$$"}, "/sql", "unreadable"),
        ({"sql": "SELECT :number, :other"}, "/sql", "unknown_parameter"),
        ({"parameters": {"number": NUMBER, "amount": AMOUNT}}, "/parameters/amount", "unused_parameter"),
        ({"parameters": {"number": {"type": "object"}}}, "/parameters/number", "not_scalar"),
        ({"parameters": {"number": {}}}, "/parameters/number", "not_scalar"),
        ({"columns": {"number": {"type": "array"}}}, "/columns/number", "not_scalar"),
        ({"columns": {}}, "/columns", "no_columns"),
        ({"writes": ["bill"]}, "/effect", "read_writes"),
        ({"effect": "write"}, "/writes", "undeclared_write"),
        ({"effect": "write", "writes": ["bill"], "idempotency": "key"}, "/idempotency", "no_key"),
        ({"max_rows": 0}, "/max_rows", "invalid"),
        ({"timeout_s": 61}, "/timeout_s", "invalid"),
        ({"name": "Find"}, "/name", "invalid"),
        ({"surprise": 1}, "", "invalid"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(changed: dict[str, Any], path: str, code: str) -> None:
    found = read(STAGE, FIND | changed)
    assert found.tool_set is None
    assert (f"/statements/1{path}", code) in {(problem.path, problem.code) for problem in found.problems}


def test_everything_that_is_wrong_is_told_at_once() -> None:
    found = SqlConnector().read("Ledger", b"[]", {"only": []})
    assert [problem.code for problem in found.problems] == ["bad_name", "unknown_hint", "invalid"]
    twice = read(FIND, FIND, STAGE | {"max_rows": 0})
    assert [problem.code for problem in twice.problems] == ["invalid"]
    assert [problem.code for problem in read(FIND, FIND).problems] == ["repeated", "repeated"]


@pytest.mark.parametrize(
    "document", [b"", b"\xff", b"a: &a [1]\nb: *a", b"{", b"x" * 300_000, b"[" * 5_000, b"fairlead_sql: 2"]
)
def test_what_cannot_be_read_is_a_problem(document: bytes) -> None:
    found = SqlConnector().read("ledger", document, {})
    assert (found.tool_set, len(found.problems)) == (None, 1)


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT ':no', \":no\", a::text, :yes -- :no\n, /* :no */ :yes", ("yes", "yes")),
        ("SELECT 'it''s :no', :yes;", ("yes",)),
        ("SELECT 'never ends :no", ()),
        ("SELECT /* never ends :no", ()),
        ("SELECT a[1:2], :yes", ("yes",)),
    ],
)
def test_parameters_are_found_where_they_are_and_nowhere_else(sql: str, names: tuple[str, ...]) -> None:
    assert scanned(sql).names == names


def test_a_statement_is_written_as_the_driver_wants_it() -> None:
    found = scanned("SELECT '100 %' LIKE :pattern")
    assert found.written(lambda name: f"%({name})s", lambda text: text.replace("%", "%%")) == (
        "SELECT '100 %%' LIKE %(pattern)s"
    )


def test_only_one_statement_is_read() -> None:
    with pytest.raises(Unreadable):
        scanned("SELECT 1;; SELECT 2")
