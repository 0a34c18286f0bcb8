"""Accounts at counterparts, and what is needed to get them."""

from fairlead.cli.output import Column, View

CONNECTION = View(
    identity="connection_id",
    columns=(
        Column("CONNECTION", "connection_id"),
        Column("NAME", "name"),
        Column("CONNECTOR", "connector"),
        Column("STANDING", "standing"),
        Column("GRANTED", lambda connection: " ".join(connection["granted_scopes"])),
        Column("ENVIRONMENT", "environment_id"),
        Column("REASON", "reason"),
    ),
    details=(
        Column("REQUESTED", lambda connection: " ".join(connection["requested_scopes"])),
        Column("WORKSPACE", "workspace_id"),
        Column("AUTH", "auth"),
        Column(
            "FIELDS", lambda connection: " ".join(f"{name}={value}" for name, value in connection["config"].items())
        ),
        Column("RENEWED BY", "expires_at"),
        Column("GIVEN", "authorized_at"),
        Column("GIVEN BY", "authorized_by"),
        Column("SECRET ERASED", "secret_erased"),
        Column("PROVIDER TOLD", "provider_told"),
    ),
)


USE = View(
    identity="call_id",
    columns=(
        Column("WHEN", "lent_at"),
        Column("CALL", "call_id"),
        Column("ATTEMPT", "attempt", right=True),
        Column("TOOL", "tool"),
        Column("FOR", "purpose"),
        Column("RUN", "run_id"),
        Column("WORKER", "worker"),
        Column("SECRET", "secret_version", right=True),
    ),
)


OAUTH_CLIENT = View(
    identity="oauth_client_id",
    columns=(
        Column("CLIENT", "oauth_client_id"),
        Column("CONNECTOR", "connector"),
        Column("CLIENT ID THERE", "client_id"),
        Column("SECRET", "has_secret"),
        Column("ENVIRONMENT", "environment_id"),
        Column("REGISTERED", "registered_at"),
    ),
)


REGISTERED = View(
    identity="oauth_client_id",
    columns=(
        Column("CLIENT", "oauth_client_id"),
        Column("CONNECTOR", "connector"),
        Column("CLIENT ID THERE", "client_id"),
        Column("OUR ADDRESS", "redirect_uri"),
    ),
)
