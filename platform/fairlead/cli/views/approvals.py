"""Approvals, and on whose behalf they are given."""

from typing import Any

from fairlead.cli.output import Column, View


def _answers(approval: Any) -> str:
    """One after the other, with on whose behalf they were given."""
    return "; ".join(
        f"{each['principal_id']}{' for ' + each['on_behalf_of'] if each.get('on_behalf_of') else ''}:"
        f" {'yes' if each['approves'] else 'no'}{', ' + each['comment'] if each['comment'] else ''}"
        for each in approval["answers"]
    )


def _signed(approval: Any) -> int:
    return sum(1 for answer in approval["answers"] if answer["approves"])


ANSWERED = View(
    identity="approval_id",
    columns=(
        Column("APPROVAL", "approval_id"),
        Column("STATUS", "status"),
        Column("SIGNATURES MISSING", "missing", right=True),
    ),
)


CLAIMED = View(identity="approval_id", columns=(Column("APPROVAL", "approval_id"), Column("YOURS UNTIL", "until")))


APPROVAL = View(
    identity="approval_id",
    columns=(
        Column("APPROVAL", "approval_id"),
        Column("STATUS", "status"),
        Column("TOOL", "tool"),
        Column("WORKFLOW", "workflow_name"),
        Column("SIGNED", lambda approval: f"{_signed(approval)} of {approval['count']}", right=True),
        Column("DEADLINE", "deadline_at"),
        Column("REASON", "reason"),
    ),
    details=(
        Column("RUN", "run_id"),
        Column("RULE", "rule_id"),
        Column("ROLES", "roles"),
        Column("REQUESTED BY", "requested_by"),
        Column("ANSWERS", _answers),
        Column("SETTLED", "settled_reason"),
        Column("DIGEST", "digest"),
        Column("ARGUMENTS", "arguments"),
        Column("EVIDENCE", "evidence"),
    ),
)


DELEGATION = View(
    identity="delegation_id",
    columns=(
        Column("DELEGATION", "delegation_id"),
        Column("FROM", "delegator"),
        Column("TO", "delegate"),
        Column("STATUS", "status"),
        Column("UNTIL", "until"),
        Column("WORKFLOWS", lambda each: ", ".join(each["workflows"]) or "all"),
        Column("ROLES", lambda each: ", ".join(each["roles"]) or "all"),
        Column("REASON", "reason"),
    ),
)
