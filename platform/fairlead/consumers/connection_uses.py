"""Which calls used a connection: what is asked first when its credential has leaked."""

from collections.abc import Sequence

from fairlead.consumers.rows import as_json
from fairlead.domain.envelope import Kind
from fairlead.ports import AnyRecorded, SqlTx

NAME = "connection_uses"
KINDS: tuple[Kind, ...] = ("connection_use",)
TABLES: tuple[str, ...] = ("connection_uses",)

# The key is the use's place on the log, so a use that is folded again is found there.
_USED = """
INSERT INTO connection_uses (
    tenant_id, connection_id, lent_at, place, lent_until, secret_version, tool, scopes, run_id, call_id, attempt,
    purpose, worker)
SELECT %(tenant)s, r.connection_id, r.lent_at, %(sequence)s * 1000 + r.ordinality - 1, r.lent_until, r.secret_version,
       r.tool, r.scopes, r.run_id, r.call_id, r.attempt, r.purpose, r.worker
  FROM ROWS FROM (json_to_recordset(%(rows)s) AS (
       connection_id text, lent_at timestamptz, lent_until timestamptz, secret_version bigint, tool text, scopes text[],
       run_id text, call_id text, attempt integer, purpose text, worker text)) WITH ORDINALITY AS r
    ON CONFLICT DO NOTHING
"""


async def project(batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    for recorded in batch:
        commit = recorded.commit
        place = {"tenant": commit.tenant_id, "sequence": recorded.sequence}
        await tx.run(_USED, place | {"rows": as_json(commit.events)})
