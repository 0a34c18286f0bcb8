"""Prompts and their versions."""

from fairlead.cli.output import Column, View

PROMPT = View(
    identity="name",
    columns=(
        Column("PROMPT", "name"),
        Column("WORKSPACE", "workspace_id"),
        Column("NEWEST", "newest_version", right=True),
        Column("CHANGED", "changed_at"),
        Column("BY", "changed_by.id"),
        Column("DESCRIPTION", "description"),
    ),
)
PROMPT_STATE = View(
    identity="name",
    columns=(Column("PROMPT", "name"), Column("VERSION", "version", right=True), Column("HASH", "document_hash")),
)
PROMPT_VERSION = View(
    identity="version",
    columns=(
        Column("VERSION", "version", right=True),
        Column("PUBLISHED", "published_at"),
        Column("BY", "author.id"),
        Column("RESTORES", "restores", right=True),
        Column("REASON", "reason"),
        Column("HASH", "document_hash"),
    ),
    details=(Column("DOCUMENT", "document"),),
)
