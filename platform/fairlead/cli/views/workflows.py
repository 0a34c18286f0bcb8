"""Workflows and their versions."""

from fairlead.cli.output import Column, View

WORKFLOW = View(
    identity="workflow_id",
    columns=(
        Column("WORKFLOW", "workflow_id"),
        Column("NAME", "name"),
        Column("VERSION", "newest_version", right=True),
        Column("UPDATED", "updated_at"),
        Column("ARCHIVED", "archived_at"),
        Column("WORKSPACE", "workspace_id"),
    ),
)


WORKFLOW_STATE = View(
    identity="workflow_id",
    columns=(
        Column("WORKFLOW", "workflow_id"),
        Column("VERSION", "newest_version", right=True),
        Column("ARCHIVED", "archived"),
    ),
)


PUBLISHED = View(
    identity="workflow_id",
    columns=(
        Column("WORKFLOW", "workflow_id"),
        Column("NAME", "name"),
        Column("VERSION", "version", right=True),
        Column("HASH", "document_hash"),
        Column("AGENT", "agent_principal_id"),
    ),
)


VERSION = View(
    identity="version",
    columns=(
        Column("VERSION", "version", right=True),
        Column("PUBLISHED", "published_at"),
        Column("BY", "author.id"),
        Column("REASON", "reason"),
        Column("HASH", "document_hash"),
    ),
    details=(Column("TOOLS", "tool_versions"), Column("DOCUMENT", "document")),
)
