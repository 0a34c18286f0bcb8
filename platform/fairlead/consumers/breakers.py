"""Breakers that ever opened: how each stands, since when, and why it opened last."""

from collections.abc import Sequence
from typing import Any

from fairlead.consumers.rows import printable
from fairlead.domain import breakers as b
from fairlead.domain.envelope import Kind
from fairlead.ports import AnyRecorded, SqlTx

NAME = "breakers"
KINDS: tuple[Kind, ...] = ("breaker",)
TABLES: tuple[str, ...] = ("breakers",)

_OPENED = """
INSERT INTO breakers (
    tenant_id, breaker_id, environment_id, connector, connection_id, state, openings, in_a_row, failures, calls,
    error_class, error_code, opened_at, probe_at, changed_at, first_sequence, stream_version)
VALUES (%(tenant)s, %(breaker_id)s, %(environment_id)s, %(connector)s, %(connection_id)s, 'open', %(opening)s,
        %(in_a_row)s, %(failures)s, %(calls)s, %(error_class)s, %(code)s, %(at)s, %(probe_at)s, %(at)s, %(sequence)s,
        %(version)s)
    ON CONFLICT (tenant_id, breaker_id) DO UPDATE
   SET state = 'open', openings = excluded.openings, in_a_row = excluded.in_a_row, failures = excluded.failures,
       calls = excluded.calls, error_class = excluded.error_class, error_code = excluded.error_code,
       opened_at = excluded.opened_at, probe_at = excluded.probe_at, closed_by = NULL, reason = NULL,
       changed_at = excluded.changed_at, stream_version = excluded.stream_version
 WHERE breakers.stream_version < excluded.stream_version
"""
_PROBING = """
UPDATE breakers SET state = 'half_open', changed_at = %(at)s, stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND breaker_id = %(breaker_id)s AND stream_version < %(version)s
"""
_CLOSED = """
UPDATE breakers
   SET state = 'closed', closed_by = %(by)s, reason = %(reason)s, changed_at = %(at)s, stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND breaker_id = %(breaker_id)s AND stream_version < %(version)s
"""


async def project(batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    """Rare, so statement by statement."""
    for recorded in batch:
        commit = recorded.commit
        for version, event in enumerate(commit.events, start=commit.first_version):
            place = {
                "tenant": commit.tenant_id,
                "breaker_id": commit.stream_id,
                "at": commit.at,
                "sequence": recorded.sequence,
                "version": version,
            }
            statement, said = _said(event)
            await tx.run(statement, place | said)


def _said(event: b.BreakerEvent) -> tuple[str, dict[str, Any]]:
    match event:
        case b.BreakerOpened():
            return _OPENED, {
                "environment_id": event.environment_id,
                "connector": event.connector,
                "connection_id": event.connection_id,
                "opening": event.opening,
                "in_a_row": event.in_a_row,
                "failures": event.failures,
                "calls": event.calls,
                "error_class": event.error_class,
                "code": printable(event.code),
                "probe_at": event.probe_at,
            }
        case b.BreakerProbing():
            return _PROBING, {}
        case b.BreakerClosed(by=by, reason=reason):
            return _CLOSED, {"by": by, "reason": printable(reason) or None}
