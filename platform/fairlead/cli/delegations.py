"""`fairlead delegation`: who answers approvals on whose behalf, and until when."""

import rich_click as click

from fairlead.cli.access import ROLES, limit_option
from fairlead.cli.session import Session, client_command
from fairlead.cli.transport import path
from fairlead.cli.views.approvals import DELEGATION

DELEGATIONS = "/v1/delegations"


@click.group()
def delegation() -> None:
    """Let another person answer approvals on your behalf for a while."""


@delegation.command("create")
@click.argument("delegate")
@click.option("--until", required=True, help="At most 90 days away, like 2026-03-14T18:00:00Z.")
@click.option("--reason", required=True, help="Why; it is on the record.")
@click.option("--workflow", "workflows", multiple=True, help="Only for this workflow. May be repeated.")
@click.option("--role", "roles", multiple=True, type=click.Choice(ROLES), help="Only what this role may answer.")
@client_command
def create(
    session: Session, delegate: str, until: str, reason: str, workflows: tuple[str, ...], roles: tuple[str, ...]
) -> None:
    """Delegate your approving to another person, named by principal id. What you may not approve, they cannot."""
    body = {
        "delegate": delegate,
        "until": until,
        "reason": reason,
        "workflows": list(workflows),
        "roles": list(roles),
    }
    session.out.one(session.api.post(DELEGATIONS, body).body, DELEGATION)


@delegation.command("list")
@click.option("--mine", is_flag=True, help="Only those given by you, or to you.")
@limit_option
@client_command
def listed(session: Session, mine: bool, limit: int) -> None:
    """List those that hold, and those that ended in the last 30 days."""
    params = {"mine": "true" if mine else None}
    session.out.many(session.api.pages(DELEGATIONS, params, limit=limit), DELEGATION)


@delegation.command("revoke")
@click.argument("delegation_id")
@click.option("--reason", required=True, help="Why; it is on the record.")
@client_command
def revoke(session: Session, delegation_id: str, reason: str) -> None:
    """Take a delegation back. It counts from the next answer on."""
    session.out.one(session.api.post(path("delegations", delegation_id, "revoke"), {"reason": reason}).body, DELEGATION)
