"""Prompts as they are on the log: versions never change."""

from fairlead_tenants.ids import TenantId, WorkspaceId

from fairlead.domain.prompts import NoSuchPrompt, Version, prompt_stream, versions
from fairlead.ports import Log


class PromptBook:
    def __init__(self, log: Log) -> None:
        self._log = log

    async def version(self, tenant_id: TenantId, workspace_id: WorkspaceId, name: str, version: int | None) -> Version:
        """One version, the newest for None. Raises NoSuchPrompt."""
        for each in reversed(versions(await self._log.read(prompt_stream(tenant_id, workspace_id, name)))):
            if version in (None, each.published.version):
                return each
        raise NoSuchPrompt(f"there is no prompt {name}" if version is None else f"{name} has no version {version}")
