"""Which commands are clients of the REST API, and where each is."""

from collections.abc import Mapping

COMMANDS: Mapping[str, str] = {
    "access": "fairlead.cli.accesses:access",
    "approval": "fairlead.cli.approvals:approval",
    "breaker": "fairlead.cli.breakers:breaker",
    "budget": "fairlead.cli.budgets:budget",
    "case": "fairlead.cli.explaining:case",
    "connection": "fairlead.cli.connections:connection",
    "delegation": "fairlead.cli.delegations:delegation",
    "dead-letter": "fairlead.cli.dead_letters:dead_letter",
    "environment": "fairlead.cli.access:environment",
    "export": "fairlead.cli.exports:export",
    "hold": "fairlead.cli.retention:hold",
    "key": "fairlead.cli.keys:key",
    "login": "fairlead.cli.identity:login",
    "logout": "fairlead.cli.identity:logout",
    "oauth-client": "fairlead.cli.oauth_clients:oauth_client",
    "person": "fairlead.cli.access:person",
    "policy": "fairlead.cli.policies:policy",
    "principal": "fairlead.cli.access:principal",
    "retention": "fairlead.cli.retention:retention",
    "run": "fairlead.cli.explaining:run",
    "service-account": "fairlead.cli.access:service_account",
    "tool": "fairlead.cli.tools:tool",
    "toolset": "fairlead.cli.toolsets:toolset",
    "webhook": "fairlead.cli.webhooks:webhook",
    "whoami": "fairlead.cli.identity:whoami",
    "why": "fairlead.cli.explaining:why",
    "workflow": "fairlead.cli.workflows:workflow",
    "workspace": "fairlead.cli.access:workspace",
}
