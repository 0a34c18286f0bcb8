"""`fairlead person`, `service-account`, `principal`, `workspace` and `environment`: who is in the tenant, and where."""

import rich_click as click

from fairlead.cli.places import ENVIRONMENTS, WORKSPACES, environment_id, workspace_id
from fairlead.cli.session import Session, client_command
from fairlead.cli.transport import path
from fairlead.cli.views.people import ENVIRONMENT, PRINCIPAL, WORKSPACE

PRINCIPALS = "/v1/principals"
ROLES = ("owner", "admin", "developer", "operator", "reviewer", "auditor")

limit_option = click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(min=1), help="At most so many."
)


@click.group()
def person() -> None:
    """People of the tenant."""


@person.command("create")
@click.argument("email")
@click.option("--name", help="Display name; else the e-mail address.")
@client_command
def create_person(session: Session, email: str, name: str | None) -> None:
    """Add a person. They hold nothing until a role is granted."""
    session.out.one(session.api.post("/v1/people", {"email": email, "display_name": name or email}).body, PRINCIPAL)


@person.command("list")
@limit_option
@client_command
def list_people(session: Session, limit: int) -> None:
    """List people."""
    session.out.many(session.api.pages(PRINCIPALS, {"kind": "person"}, limit=limit), PRINCIPAL)


@click.group("service-account")
def service_account() -> None:
    """Principals for programs."""


@service_account.command("create")
@click.argument("name")
@client_command
def create_service_account(session: Session, name: str) -> None:
    """Make a principal for a program. It can never approve."""
    session.out.one(session.api.post("/v1/service-accounts", {"name": name}).body, PRINCIPAL)


@service_account.command("list")
@limit_option
@client_command
def list_service_accounts(session: Session, limit: int) -> None:
    """List service accounts."""
    session.out.many(session.api.pages(PRINCIPALS, {"kind": "service_account"}, limit=limit), PRINCIPAL)


@click.group()
def principal() -> None:
    """People, service accounts and agents, and the roles they hold."""


@principal.command("list")
@limit_option
@client_command
def list_principals(session: Session, limit: int) -> None:
    """List everybody."""
    session.out.many(session.api.pages(PRINCIPALS, limit=limit), PRINCIPAL)


@principal.command("show")
@click.argument("principal_id")
@client_command
def show_principal(session: Session, principal_id: str) -> None:
    """Show a principal and its roles."""
    session.out.one(session.api.get(path("principals", principal_id)).body, PRINCIPAL)


role_argument = click.argument("role", type=click.Choice(ROLES))
role_workspace = click.option("--workspace", help="Only in this workspace: its name or id.")
role_environment = click.option("--environment", help="Only in this environment: its name or id.")


@principal.command("grant")
@click.argument("principal_id")
@role_argument
@role_workspace
@role_environment
@client_command
def grant(session: Session, principal_id: str, role: str, workspace: str | None, environment: str | None) -> None:
    """Give a role. Nobody gives what they do not hold."""
    body = _grant(session, role, workspace, environment)
    session.out.one(session.api.post(path("principals", principal_id, "grants"), body).body, PRINCIPAL)


@principal.command("withdraw")
@click.argument("principal_id")
@role_argument
@role_workspace
@role_environment
@client_command
def withdraw(session: Session, principal_id: str, role: str, workspace: str | None, environment: str | None) -> None:
    """Take exactly this role back, at once."""
    body = _grant(session, role, workspace, environment)
    session.out.one(session.api.post(path("principals", principal_id, "grants", "withdraw"), body).body, PRINCIPAL)


def _grant(session: Session, role: str, workspace: str | None, environment: str | None) -> dict[str, str | None]:
    return {
        "role": role,
        "workspace_id": None if workspace is None else workspace_id(session.api, workspace),
        "environment_id": environment_id(session.api, environment),
    }


@principal.command("disable")
@click.argument("principal_id")
@click.option("--reason", required=True, help="Why; it is kept.")
@client_command
def disable(session: Session, principal_id: str, reason: str) -> None:
    """End every key of a principal at once, until it is enabled again."""
    session.out.one(session.api.post(path("principals", principal_id, "disable"), {"reason": reason}).body, PRINCIPAL)


@principal.command("enable")
@click.argument("principal_id")
@client_command
def enable(session: Session, principal_id: str) -> None:
    """Let a disabled principal be as it was."""
    session.out.one(session.api.post(path("principals", principal_id, "enable")).body, PRINCIPAL)


@click.group()
def workspace() -> None:
    """What workflows and runs belong to."""


@workspace.command("create")
@click.argument("name")
@client_command
def create_workspace(session: Session, name: str) -> None:
    """Make a workspace."""
    session.out.one(session.api.post(WORKSPACES, {"name": name}).body, WORKSPACE)


@workspace.command("list")
@limit_option
@client_command
def list_workspaces(session: Session, limit: int) -> None:
    """List workspaces."""
    session.out.many(session.api.pages(WORKSPACES, limit=limit), WORKSPACE)


@click.group()
def environment() -> None:
    """Where runs and keys stand, live or test."""


@environment.command("create")
@click.argument("name")
@click.option("--kind", type=click.Choice(("live", "test")), required=True, help="For ever; part of each key's text.")
@client_command
def create_environment(session: Session, name: str, kind: str) -> None:
    """Make an environment."""
    session.out.one(session.api.post(ENVIRONMENTS, {"name": name, "kind": kind}).body, ENVIRONMENT)


@environment.command("list")
@limit_option
@client_command
def list_environments(session: Session, limit: int) -> None:
    """List environments."""
    session.out.many(session.api.pages(ENVIRONMENTS, limit=limit), ENVIRONMENT)
