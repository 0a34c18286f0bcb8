"""`fairlead erase`: destroy what content about a person, or of the tenant, was sealed under."""

import rich_click as click

from fairlead.cli.record_views import ERASURE
from fairlead.cli.runs import reason_option
from fairlead.cli.session import Session, client_command
from fairlead.cli.transport import path

ERASURES = "/v1/erasures"


@click.group()
def erase() -> None:
    """Erasures: content is unreadable from then on, in backups too, and the ledger still verifies."""


@erase.command("subject")
@click.argument("data_subject")
@reason_option
@click.confirmation_option(prompt="Nothing brings it back. Erase?", help="Do not ask.")
@client_command
def erase_subject(session: Session, data_subject: str, reason: str) -> None:
    """Erase what runs about DATA_SUBJECT have recorded, and show the receipt."""
    session.out.one(session.api.post(ERASURES, {"data_subject": data_subject, "reason": reason}).body, ERASURE)


@erase.command("tenant")
@click.argument("tenant_id")
@reason_option
@click.confirmation_option(prompt="Nothing brings it back. Erase all content?", help="Do not ask.")
@client_command
def erase_tenant(session: Session, tenant_id: str, reason: str) -> None:
    """Erase all content of your own tenant, whose id is TENANT_ID, and show the receipt."""
    body = {"tenant": True, "confirm": tenant_id, "reason": reason}
    session.out.one(session.api.post(ERASURES, body).body, ERASURE)


@erase.command("show")
@click.argument("erasure_id")
@client_command
def show(session: Session, erasure_id: str) -> None:
    """Show the receipt of an erasure."""
    session.out.one(session.api.get(path("erasures", erasure_id)).body, ERASURE)
