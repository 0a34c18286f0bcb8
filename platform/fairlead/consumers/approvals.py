"""Approvals: what people are asked, with the evidence, and what they answered."""

from collections.abc import Sequence
from typing import Any

from fairlead_tenants.ids import PrincipalId
from msgspec import Struct

from fairlead.consumers.expired_runs import delete_expired
from fairlead.consumers.rows import as_json, printable
from fairlead.domain import approvals as a
from fairlead.domain.envelope import Kind
from fairlead.domain.instant import Instant
from fairlead.ports import AnyCommit, AnyRecorded, SqlTx

NAME = "approvals"
KINDS: tuple[Kind, ...] = ("approval", "run")  # of runs, only that they have expired
TABLES: tuple[str, ...] = ("approvals",)

_REQUESTED = """
INSERT INTO approvals (
    tenant_id, approval_id, run_id, call_id, workspace_id, workflow_name, tool, arguments, rule_id, reason, evidence,
    fingerprint, digest, count, roles, requested_by, requested_at, deadline_at, sensitive,
    requested_sequence, stream_version)
SELECT %(tenant)s, %(approval_id)s, r.run_id, r.call_id, r.workspace_id, r.workflow_name, r.tool,
       coalesce(r.arguments, 'null'), r.rule_id, r.reason, coalesce(r.evidence, 'null'), r.fingerprint, r.digest,
       r.count, r.roles, r.requested_by, %(at)s, r.deadline_at,
       coalesce(r.sensitive, '{}'), %(sequence)s, %(version)s
  FROM json_to_recordset(%(rows)s) AS r (
       run_id text, call_id text, workspace_id text, workflow_name text, tool text, arguments json, rule_id text,
       reason text, evidence json, fingerprint text, digest text, count integer, roles text[], requested_by text[],
       deadline_at timestamptz, sensitive text[])
    ON CONFLICT DO NOTHING
"""
_ANSWERED = """
UPDATE approvals SET answers = answers || %(answers)s::jsonb, stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND approval_id = %(approval_id)s AND stream_version < %(version)s
"""
_SETTLED = """
UPDATE approvals
   SET status = %(status)s, settled_at = %(at)s, settled_reason = %(reason)s, stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND approval_id = %(approval_id)s AND stream_version < %(version)s
"""
_ESCALATED = """
UPDATE approvals
   SET level = %(level)s, stream_version = %(version)s,
       roles = roles || ARRAY(SELECT unnest(%(roles)s::text[]) EXCEPT SELECT unnest(roles))
 WHERE tenant_id = %(tenant)s AND approval_id = %(approval_id)s AND stream_version < %(version)s
"""
_MOVED = """
UPDATE approvals SET stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND approval_id = %(approval_id)s AND stream_version < %(version)s
"""
_CLAIMED = """
UPDATE approvals SET claimed_by = %(who)s, claimed_until = %(until)s, stream_version = %(version)s
 WHERE tenant_id = %(tenant)s AND approval_id = %(approval_id)s AND stream_version < %(version)s
"""
_REFUSED = """
UPDATE approvals
   SET status = %(status)s, settled_at = %(at)s, settled_reason = %(reason)s, stream_version = %(version)s,
       answers = answers || %(answers)s::jsonb
 WHERE tenant_id = %(tenant)s AND approval_id = %(approval_id)s AND stream_version < %(version)s
"""


_EXPIRED = "DELETE FROM approvals WHERE tenant_id = %(tenant)s AND run_id = ANY (%(run_ids)s)"


class Answer(Struct, frozen=True, kw_only=True):
    """An element of `answers`."""

    principal_id: str
    approves: bool
    comment: str
    at: Instant
    arguments: Any = None
    on_behalf_of: str | None = None


async def project(batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    for recorded in batch:
        commit = recorded.commit
        if commit.kind == "run":
            continue
        for version, event in enumerate(commit.events, start=commit.first_version):
            statement, said = _said(event, commit)
            place = {
                "tenant": commit.tenant_id,
                "approval_id": commit.stream_id,
                "at": commit.at,
                "sequence": recorded.sequence,
                "version": version,
            }
            await tx.run(statement, place | said)
    await delete_expired(batch, tx, _EXPIRED)


def _said(event: a.ApprovalEvent, commit: AnyCommit) -> tuple[str, dict[str, Any]]:
    match event:
        case a.ApprovalRequested():
            return _REQUESTED, {"rows": as_json([event])}
        case a.ApprovalSigned(signed_by=signer, comment=comment, on_behalf_of=other):
            signature = Answer(principal_id=signer, approves=True, comment=comment, at=commit.at, on_behalf_of=other)
            return _ANSWERED, {"answers": as_json([signature])}
        case a.ApprovalDenied() | a.ApprovalChangesRequested() | a.ApprovalEdited():
            return _REFUSED, _refused(event, commit.at)
        case a.ApprovalDueSoon() | a.ReviewersTold():
            return _MOVED, {}
        case a.ApprovalClaimed(claimed_by=who, until=until):
            return _CLAIMED, {"who": who, "until": until}
        case a.ApprovalEscalated(level=level, roles=roles):
            return _ESCALATED, {"level": level, "roles": list(roles)}
        case a.ApprovalGranted():
            return _SETTLED, {"status": "granted", "reason": None}
        case a.ApprovalExpired():
            return _SETTLED, {"status": "expired", "reason": None}
        case a.ApprovalWithdrawn(reason=reason):
            return _SETTLED, {"status": "withdrawn", "reason": printable(reason)}


def _refused(event: a.ApprovalDenied | a.ApprovalChangesRequested | a.ApprovalEdited, at: Instant) -> dict[str, Any]:
    status, who, arguments = _answered(event)
    other = None if isinstance(event, a.ApprovalEdited) else event.on_behalf_of
    answer = Answer(
        principal_id=who, approves=False, comment=event.comment, at=at, arguments=arguments, on_behalf_of=other
    )
    return {"status": status, "answers": as_json([answer]), "reason": printable(event.comment)}


def _answered(event: a.ApprovalDenied | a.ApprovalChangesRequested | a.ApprovalEdited) -> tuple[str, PrincipalId, Any]:
    match event:
        case a.ApprovalDenied(denied_by=who):
            return "denied", who, None
        case a.ApprovalChangesRequested(requested_by=who):
            return "changes_requested", who, None
        case a.ApprovalEdited(edited_by=who, arguments=arguments):
            return "edited", who, arguments
