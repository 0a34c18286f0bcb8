"""Breakers as they are shown, from the read model."""

from typing import Annotated, Literal

from fairlead_tenants.ids import EnvironmentId
from msgspec import Meta, Struct

from fairlead.domain.instant import Instant
from fairlead.domain.runs.events import ErrorClass
from fairlead.ports import SqlTx

ShownState = Literal["open", "half_open", "closed"]

_LISTED = """
SELECT breaker_id, environment_id, connector, connection_id, state, openings, in_a_row, failures, calls, error_class,
       error_code, opened_at, probe_at, closed_by, reason, changed_at, first_sequence
  FROM breakers
 WHERE first_sequence > %(after)s
   AND (%(environment)s::text IS NULL OR environment_id = %(environment)s)
   AND (%(connector)s::text IS NULL OR connector = %(connector)s)
   AND (%(state)s::text IS NULL OR state = %(state)s)
 ORDER BY first_sequence
 LIMIT %(limit)s
"""


class Breaker(Struct, frozen=True, kw_only=True):
    """`failures` of the last `calls` had no answer when it opened last."""

    breaker_id: str
    environment_id: EnvironmentId
    connector: str
    connection_id: str | None
    state: Annotated[ShownState, Meta(description="`half_open`: one call is out to see whether it is answered.")]
    openings: Annotated[int, Meta(description="Of all its life.")]
    in_a_row: Annotated[int, Meta(description="Openings soon after one another: each doubles the time it cools.")]
    failures: int
    calls: int
    error_class: ErrorClass
    error_code: str
    opened_at: Instant
    probe_at: Annotated[Instant, Meta(description="When the first call may be let through.")]
    closed_by: Annotated[Literal["probe", "person"] | None, Meta(description="Null while it is not closed.")]
    reason: Annotated[str | None, Meta(description="What the person said who closed it.")]
    changed_at: Instant


class BreakerRow(Breaker, frozen=True, kw_only=True):
    first_sequence: int

    def shown(self) -> Breaker:
        return Breaker(**{name: getattr(self, name) for name in Breaker.__struct_fields__})


class Listed(Struct, frozen=True, kw_only=True):
    """What is asked for."""

    after: int
    limit: int
    environment: str | None
    connector: str | None
    state: ShownState | None


async def listed(tx: SqlTx, wanted: Listed) -> list[BreakerRow]:
    """In the order in which they first opened."""
    params = {name: getattr(wanted, name) for name in wanted.__struct_fields__}
    return await tx.rows(_LISTED, params, BreakerRow)
