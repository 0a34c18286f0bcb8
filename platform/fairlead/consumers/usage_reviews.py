"""How long people took who decided, of what they had claimed: part of the projection model_usage."""

from collections.abc import Sequence

from fairlead.domain import approvals as a
from fairlead.domain.ids import parent_id
from fairlead.ports import AnyRecorded, SqlTx

_CLAIMED = """
INSERT INTO usage_reviews AS u (
    tenant_id, approval_id, run_id, claimed_by, claimed_at, claimed_until, stream_version)
VALUES (%(tenant)s, %(approval_id)s, %(run_id)s, %(who)s, %(at)s, %(until)s, %(version)s)
    ON CONFLICT (tenant_id, approval_id) DO UPDATE
   SET claimed_by = excluded.claimed_by, claimed_until = excluded.claimed_until,
       claimed_at = CASE WHEN u.claimed_by = excluded.claimed_by AND u.claimed_until > excluded.claimed_at
                         THEN u.claimed_at ELSE excluded.claimed_at END,
       stream_version = excluded.stream_version
 WHERE u.stream_version < excluded.stream_version
"""
# Whoever had claimed it has worked on it since, at most until the claim ran out.
_LOOKED = """
INSERT INTO usage_reviews AS u (tenant_id, approval_id, run_id, unclaimed, stream_version)
VALUES (%(tenant)s, %(approval_id)s, %(run_id)s, %(decided)s, %(version)s)
    ON CONFLICT (tenant_id, approval_id) DO UPDATE
   SET claimed   = u.claimed + CASE WHEN u.claimed_by = %(who)s THEN 1 ELSE 0 END,
       unclaimed = u.unclaimed + CASE WHEN u.claimed_by = %(who)s THEN 0 ELSE %(decided)s END,
       worked_us = u.worked_us + CASE WHEN u.claimed_by = %(who)s THEN greatest(0, (1000000 * extract(
                       epoch FROM least(%(at)s, u.claimed_until) - u.claimed_at))::bigint) ELSE 0 END,
       claimed_by = NULL, claimed_at = NULL, claimed_until = NULL,
       stream_version = excluded.stream_version
 WHERE u.stream_version < excluded.stream_version
"""


async def write_reviews(batch: Sequence[AnyRecorded], tx: SqlTx) -> None:
    for recorded in batch:
        commit = recorded.commit
        if commit.kind != "approval":
            continue
        for version, event in enumerate(commit.events, start=commit.first_version):
            who = _who(event)
            if who is None:
                continue
            said = {
                "tenant": commit.tenant_id,
                "approval_id": commit.stream_id,
                "run_id": parent_id("run", commit.stream_id),
                "at": commit.at,
                "who": who,
                "version": version,
            }
            if isinstance(event, a.ApprovalClaimed) and event.until > commit.at:
                await tx.run(_CLAIMED, said | {"until": event.until})
            else:
                await tx.run(_LOOKED, said | {"decided": 0 if isinstance(event, a.ApprovalClaimed) else 1})


def _who(event: a.ApprovalEvent) -> str | None:
    """The person who looked into it."""
    match event:
        case a.ApprovalClaimed(claimed_by=who) | a.ApprovalSigned(signed_by=who) | a.ApprovalDenied(denied_by=who):
            return who
        case a.ApprovalChangesRequested(requested_by=who) | a.ApprovalEdited(edited_by=who):
            return who
        case _:
            return None
