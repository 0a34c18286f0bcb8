"""Principals, their keys, and the places where they are."""

from typing import Any

from fairlead.cli.output import Column, View


def roles(principal: Any) -> str:
    """Each with where it holds, where that is not everywhere."""
    return ", ".join(
        " in ".join(filter(None, (grant["role"], grant.get("workspace_id"), grant.get("environment_id"))))
        for grant in principal["grants"]
    )


ME = View(
    identity="principal_id",
    columns=(
        Column("NAME", "name"),
        Column("PRINCIPAL", "principal_id"),
        Column("KIND", "kind"),
        Column("TENANT", "tenant_id"),
        Column("ENVIRONMENT", "environment_id"),
        Column("KEY", "key_id"),
        Column("ROLES", roles),
        Column("PERMISSIONS", "permissions"),
        Column("SERVER", "server"),
        Column("KNOWN FROM", "source"),
    ),
)


PRINCIPAL = View(
    identity="principal_id",
    columns=(
        Column("PRINCIPAL", "principal_id"),
        Column("KIND", "kind"),
        Column("NAME", "name"),
        Column("E-MAIL", "email"),
        Column("ROLES", roles),
        Column("DISABLED", "disabled"),
    ),
    details=(Column("WORKFLOW", "workflow_id"),),
)


WORKSPACE = View(identity="workspace_id", columns=(Column("WORKSPACE", "workspace_id"), Column("NAME", "name")))


ENVIRONMENT = View(
    identity="environment_id",
    columns=(Column("ENVIRONMENT", "environment_id"), Column("NAME", "name"), Column("KIND", "kind")),
)


_KEY = (
    Column("KEY", "key_id"),
    Column("NAME", "name"),
    Column("ENDS IN", "last_four"),
    Column("PRINCIPAL", "principal_id"),
    Column("ENVIRONMENT", "environment_id"),
    Column("SCOPES", "scopes"),
    Column("EXPIRES", "expires_at"),
    Column("REVOKED", "revoked_at"),
    Column("REPLACED BY", "replaced_by"),
)


KEY = View(identity="key_id", columns=_KEY)


ISSUED = View(identity="secret", columns=_KEY, details=(Column("THE KEY", "secret"),))
