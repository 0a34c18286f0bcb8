"""A document of statements for tests, and what it is imported into."""

from typing import Any

import msgspec
from fairlead_sdk import Tool
from fairlead_sdk.importing import Import, ToolSet

from fairlead_sql import SqlConnector

NUMBER = {"type": "string", "maxLength": 20}
AMOUNT = {"type": "integer"}

FIND: dict[str, Any] = {
    "name": "find_bills",
    "title": "Find bills",
    "description": "Bills of a number.",
    "sql": "SELECT number, amount FROM bills WHERE number = :number ORDER BY amount",
    "parameters": {"number": NUMBER},
    "columns": {"number": NUMBER, "amount": AMOUNT},
    "max_rows": 2,
}
STAGE: dict[str, Any] = {
    "name": "stage_bill",
    "title": "Stage a bill",
    "description": "Stages one, once for each call.",
    "sql": "INSERT INTO bills (key, number, amount) VALUES (:idempotency_key, :number, :amount)"
    " ON CONFLICT (key) DO NOTHING RETURNING amount",
    "parameters": {"number": NUMBER, "amount": AMOUNT},
    "columns": {"amount": AMOUNT},
    "effect": "write",
    "writes": ["bill"],
    "idempotency": "key",
}


def read(*statements: dict[str, Any], dialect: str = "postgresql", **more: Any) -> Import:
    document = {"fairlead_sql": 1, "title": "Ledger", "dialect": dialect, "statements": statements} | more
    return SqlConnector().read("ledger", msgspec.json.encode(document), {})


def imported(*statements: dict[str, Any], dialect: str = "postgresql") -> ToolSet:
    found = read(*statements, dialect=dialect)
    assert found.tool_set is not None, found.problems
    return found.tool_set


def tool_of(statement: dict[str, Any], dialect: str = "postgresql") -> Tool[Any, Any]:
    tool_set = imported(statement, dialect=dialect)
    return SqlConnector().tool(tool_set, tool_set.tools[0])
