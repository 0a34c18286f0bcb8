"""Who looked at what, for auditors to ask."""

from collections.abc import Sequence

from fairlead.consumers.rows import as_json
from fairlead.domain.envelope import Kind
from fairlead.domain.expiries import ExpiryOfAccessesBegun
from fairlead.ports import AnyCommit, AnyRecorded, SqlTx

NAME = "accesses"
KINDS: tuple[Kind, ...] = ("access", "expiry")
TABLES: tuple[str, ...] = ("accesses",)

# The key is the access's place on the log, so one that is folded again is found there.
_ACCESSED = """
INSERT INTO accesses (
    tenant_id, sequence, index, at, access, principal_id, principal_kind, key_id, environment_id, route, object, query,
    trace_id)
SELECT %(tenant)s, %(sequence)s, r.ordinality - 1, r.at, r.access, r.principal_id, r.principal_kind, r.key_id,
       r.environment_id, r.route, r.object, coalesce(r.query, ''), r.trace_id
  FROM ROWS FROM (json_to_recordset(%(rows)s) AS (
       at timestamptz, access text, principal_id text, principal_kind text, key_id text, environment_id text,
       route text, object text, query text, trace_id text)) WITH ORDINALITY AS r
    ON CONFLICT DO NOTHING
"""


_EXPIRED = "DELETE FROM accesses WHERE tenant_id = %(tenant)s AND sequence = ANY (%(sequences)s)"


async def project(batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    for recorded in batch:
        commit = recorded.commit
        if commit.kind == "expiry":
            await _forget(commit, tx)
            continue
        place = {"tenant": commit.tenant_id, "sequence": recorded.sequence}
        await tx.run(_ACCESSED, place | {"rows": as_json(commit.events)})


async def _forget(commit: AnyCommit, tx: SqlTx) -> None:
    for event in commit.events:
        if isinstance(event, ExpiryOfAccessesBegun):
            await tx.run(_EXPIRED, {"tenant": commit.tenant_id, "sequences": list(event.sequences)})
