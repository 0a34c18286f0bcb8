"""A tool that runs one statement, and rows as plain JSON."""

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from fairlead_sdk import Call, Effect, JsonSchema, OutcomeUnknown, Refused, Tool
from fairlead_sdk.importing import DIALECT, ImportedTool

from fairlead_sql import postgresql, sqlite
from fairlead_sql.recipes import Recipe, Result, recipe_of

_RUN = {"postgresql": postgresql.run, "sqlite": sqlite.run}


def tool_of(imported: ImportedTool) -> Tool[Any, Any]:
    recipe = recipe_of(imported.recipe)

    async def run(arguments: dict[str, Any], call: Call) -> dict[str, Any]:
        result = await _RUN[recipe.dialect](recipe, recipe.values(arguments, call), call)
        return _output(recipe, result)

    return Tool(
        name=imported.name,
        title=imported.title,
        description=imported.description,
        input=JsonSchema({"$schema": DIALECT, **imported.input}),
        output=JsonSchema({"$schema": DIALECT, **imported.output}),
        run=run,
        effect=imported.effect,
        idempotency=imported.idempotency,
        timeout_s=imported.timeout_s,
        scopes=imported.scopes,
        writes=imported.writes,
    )


def _output(recipe: Recipe, result: Result) -> dict[str, Any]:
    reads = recipe.effect is Effect.READ
    if result.rows and result.columns != recipe.columns:
        message = f"the database gave {', '.join(result.columns)}, declared are {', '.join(recipe.columns)}"
        raise Refused(message, "other_columns") if reads else OutcomeUnknown(message, "other_columns")
    rows = [dict(zip(recipe.columns, map(_plain, row), strict=True)) for row in result.rows[: recipe.max_rows]]
    if reads:
        return {"rows": rows, "more": len(result.rows) > recipe.max_rows}
    return {"rows": rows, "affected": result.affected}


def _plain(value: Any) -> Any:
    """Exact numbers and times as text. What JSON has no word for is told by its type alone."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Decimal() | UUID():
            return str(value)
        case datetime() | date() | time():
            return value.isoformat()
        case _:
            raise Refused(f"a column gave {type(value).__name__}, which is no scalar", "not_scalar")
