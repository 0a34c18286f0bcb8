"""What is kept of a statement, to run it later from nothing else."""

from typing import Any

import msgspec
from fairlead_sdk import Call, Effect
from msgspec import Struct

from fairlead_sql.dialects import Dialect
from fairlead_sql.placeholders import Scanned

KEY = "idempotency_key"  # :idempotency_key is the call's own, the same across attempts


class Recipe(Struct, frozen=True, kw_only=True):
    dialect: Dialect
    names: tuple[str, ...]
    pieces: tuple[str, ...]
    effect: Effect
    columns: tuple[str, ...]
    max_rows: int
    timeout_s: float

    @property
    def scanned(self) -> Scanned:
        return Scanned(self.names, self.pieces)

    def values(self, arguments: dict[str, Any], call: Call) -> dict[str, Any]:
        return {name: call.idempotency_key if name == KEY else arguments[name] for name in self.names}


class Result(Struct, frozen=True):
    """`rows` are at most one more than the recipe allows; `affected` is -1 where the database does not say."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    affected: int


def plain(recipe: Recipe) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(recipe)
    return found


def recipe_of(kept: dict[str, Any]) -> Recipe:
    return msgspec.convert(kept, Recipe)
