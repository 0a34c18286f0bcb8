"""The tools that a tenant has: those of the connectors that it uses, and those of the sets that it imported.

A version of a set never changes, so a set that was read is kept for as long as there is room. Its tools are made one by
one, when somebody asks for them.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec
from fairlead_sdk.contract import Manifest, Tool
from fairlead_sdk.importing import ImportedTool, Importer, ToolSet
from fairlead_tenants.ids import TenantId, WorkspaceId
from msgspec import Struct

from fairlead.domain.policy.proposed import People
from fairlead.domain.tenants.choices import Offer, Uses, uses
from fairlead.domain.tenants.states import TenantState
from fairlead.domain.tools import ToolCatalogue, ToolFacts, connector_of, facts_of
from fairlead.domain.toolsets import ToolsetDefined, ToolsetImported, definition_stream, toolset_stream
from fairlead.handling.tenant_choices import KEPT_TENANTS, Choices, Noticed, TenantChoices
from fairlead.handling.tenant_policies import TenantPolicies
from fairlead.ports import Clock, Log

KEPT_BYTES = 64 * 1024 * 1024  # of encoded sets
KEPT_TOOLS = 256  # of one set, ready to be called
NOTHING_PINNED: Mapping[str, str] = {}

_SET_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


class Installed(Protocol):
    """What is there for tenants to use. `offers` is another object when it has changed."""

    @property
    def offers(self) -> tuple[Offer, ...]: ...
    def catalogue_of(self, used: Uses) -> ToolCatalogue: ...
    def tool(self, name: str, tenant_id: str, version: str) -> Tool[Any, Any] | None: ...
    def settings_of(self, name: str, version: str) -> Mapping[str, str]: ...
    def manifest_at(self, connector: str, version: str) -> Manifest | None: ...
    def runs_here(self, name: str) -> bool: ...
    def importer(self, connector: str) -> Importer | None: ...


class Fitted(Struct, frozen=True):
    """A tool as one call finds it. `checks` knows its schemas; `settings` are its connector's.

    `runs_here`: in our own process, and not in the sandbox.
    """

    tool: Tool[Any, Any]
    checks: ToolCatalogue
    manifest: Manifest
    settings: Mapping[str, str]
    runs_here: bool


class _Used(Struct, frozen=True):
    """What follows from these choices and offers, which are known by being the same objects."""

    choices: Choices
    offers: tuple[Offer, ...]
    uses: Uses
    installed: ToolCatalogue
    fitted: dict[str, Fitted]  # by tool, as they were asked for


class ReadSet:
    """One version of a set. `manifest` has no tools: there may be thousands."""

    def __init__(self, imported: ToolsetImported, tool_set: ToolSet, importer: Importer) -> None:
        self.imported = imported
        self.tool_set = tool_set
        self.manifest = Manifest(
            name=tool_set.name,
            title=tool_set.title,
            version=version_text(imported.version),
            tools=(),
            auth=tool_set.auth,
            scopes=tool_set.scopes,
            egress=tool_set.egress,
            config=tool_set.config,
        )
        self.names = sorted(each.name for each in tool_set.tools)
        self._importer = importer
        self._listed: dict[str, ImportedTool] = {each.name: each for each in tool_set.tools}
        self._fitted: OrderedDict[str, Fitted] = OrderedDict()

    def facts(self, name: str) -> ToolFacts | None:
        return facts_of(self.manifest, self._tool(name)) if name in self._listed else None

    def fitted(self, name: str) -> Fitted | None:
        """Its schemas are compiled when it is first called."""
        if name not in self._listed:
            return None
        found = self._fitted.pop(name, None)
        if found is None:
            tool = self._tool(name)
            found = Fitted(tool, ToolCatalogue([facts_of(self.manifest, tool)]), self.manifest, {}, runs_here=True)
        self._fitted[name] = found
        while len(self._fitted) > KEPT_TOOLS:
            self._fitted.popitem(last=False)
        return found

    def _tool(self, name: str) -> Tool[Any, Any]:
        return self._importer.tool(self.tool_set, self._listed[name])


class TenantTools:
    def __init__(self, log: Log, installed: Installed, clock: Clock) -> None:
        self._log = log
        self._installed = installed
        self._choices = TenantChoices(log, clock)
        self.policies = TenantPolicies(log, self._choices)
        self._used: OrderedDict[TenantId, _Used] = OrderedDict()
        self._kept: OrderedDict[tuple[TenantId, str, int], tuple[ReadSet, int]] = OrderedDict()
        self._kept_bytes = 0

    @property
    def noticed(self) -> Noticed:
        return self._choices.noticed

    def saw(self, tenant: TenantState) -> None:
        """The tenant was just read: what it says of connectors and policies counts from now on."""
        self._choices.saw(tenant)

    def people(self, tenant_id: TenantId, workspace_id: WorkspaceId) -> People:
        """Who principals are, for conditions of policies."""
        return self._choices.people(tenant_id, workspace_id)

    async def uses(self, tenant_id: TenantId) -> Uses:
        """The connectors that the tenant uses, and their versions. The same object for as long as nothing changes."""
        return (await self._known(tenant_id)).uses

    async def installed(self, tenant_id: TenantId) -> ToolCatalogue:
        """Those of the connectors that the tenant uses."""
        return (await self._known(tenant_id)).installed

    async def _known(self, tenant_id: TenantId) -> _Used:
        choices, offers = self._choices.at_hand(tenant_id), self._installed.offers
        if choices is None:
            choices = await self._choices.of(tenant_id)
        known = self._used.get(tenant_id)
        if known is None or known.choices is not choices or known.offers is not offers:
            used = uses(offers, choices)
            known = _Used(choices, offers, used, self._installed.catalogue_of(used), {})
            self._used[tenant_id] = known
            self._used.move_to_end(tenant_id)
            while len(self._used) > KEPT_TENANTS:
                self._used.popitem(last=False)
        return known

    async def catalogue(
        self, tenant_id: TenantId, names: Iterable[str], pinned: Mapping[str, str] = NOTHING_PINNED
    ) -> ToolCatalogue:
        """What is installed and used, and of the sets those that are named: as `pinned` says, else the newest.

        `pinned` is by tool, as a workflow's `tool_versions`. A name that nobody knows is not in it.
        """
        installed = await self.installed(tenant_id)
        wanted = [name for name in dict.fromkeys(names) if name not in installed]
        versions = {name: (name.partition(".")[0], _version(pinned.get(name, ""))) for name in wanted}
        sets = {each: await self.read(tenant_id, *each) for each in set(versions.values())}
        found = [(sets[versions[name]], name) for name in wanted]
        facts = [read_set.facts(name) for read_set, name in found if read_set is not None]
        return installed.with_more([each for each in facts if each is not None])

    async def fitted(self, tenant_id: TenantId, name: str, version: str) -> Fitted | None:
        """For a call that was decided on with this version of the tool's connector."""
        known = await self._known(tenant_id)
        if (fitted := known.fitted.get(name)) is not None:
            return fitted
        connector = connector_of(name)
        if (used := known.uses.get(connector)) is None:
            found = await self.read(tenant_id, connector, _version(version))
            return found.fitted(name) if found else None
        fitted = self._installed_tool(tenant_id, name, connector, used, known.installed)
        if fitted is not None and fitted.runs_here:  # in the sandbox a process may have taken another's place
            known.fitted[name] = fitted
        return fitted

    def _installed_tool(
        self, tenant_id: TenantId, name: str, connector: str, version: str, checks: ToolCatalogue
    ) -> Fitted | None:
        tool, manifest = self._installed.tool(name, tenant_id, version), self._installed.manifest_at(connector, version)
        if tool is None or manifest is None:
            return None
        settings, here = self._installed.settings_of(name, version), self._installed.runs_here(name)
        return Fitted(tool, checks, manifest, settings, runs_here=here)

    async def manifest(self, tenant_id: TenantId, connector: str) -> Manifest | None:
        """Of a connector in the version that the tenant uses, or of the newest version of a set."""
        if (used := (await self.uses(tenant_id)).get(connector)) is not None:
            return self._installed.manifest_at(connector, used)
        found = await self.read(tenant_id, connector, None)
        return found.manifest if found else None

    async def read(self, tenant_id: TenantId, name: str, version: int | None) -> ReadSet | None:
        """One version of a set, the newest for None."""
        if not _SET_NAME.fullmatch(name):
            return None
        if version is not None and (kept := self._kept.get((tenant_id, name, version))):
            self._kept.move_to_end((tenant_id, name, version))
            return kept[0]
        imported = await self._imported(tenant_id, name, version)
        importer = self._installed.importer(imported.importer) if imported else None
        if imported is None or importer is None:
            return None
        kept = self._kept.get((tenant_id, name, imported.version))
        return kept[0] if kept else await self._defined(tenant_id, imported, importer)

    async def _imported(self, tenant_id: TenantId, name: str, version: int | None) -> ToolsetImported | None:
        history = await self._log.read(toolset_stream(tenant_id, name))
        found = [
            event
            for recorded in history
            for event in recorded.commit.events
            if isinstance(event, ToolsetImported) and version in (None, event.version)
        ]
        return found[-1] if found else None

    async def _defined(self, tenant_id: TenantId, imported: ToolsetImported, importer: Importer) -> ReadSet:
        (recorded,) = await self._log.read(definition_stream(tenant_id, imported.name, imported.definition_sha256))
        (event,) = recorded.commit.events
        assert isinstance(event, ToolsetDefined), "a definition is alone in its stream"
        assert event.sha256 == imported.definition_sha256, "the stream's name is the beginning of its hash"
        found = ReadSet(imported, msgspec.convert(event.definition, ToolSet), importer)
        self._keep((tenant_id, imported.name, imported.version), found, len(recorded.body))
        return found

    def _keep(self, key: tuple[TenantId, str, int], found: ReadSet, size_bytes: int) -> None:
        _, before = self._kept.pop(key, (None, 0))
        self._kept[key] = (found, size_bytes)
        self._kept_bytes += size_bytes - before
        while self._kept_bytes > KEPT_BYTES and len(self._kept) > 1:
            _, (_, dropped) = self._kept.popitem(last=False)
            self._kept_bytes -= dropped


def version_text(version: int) -> str:
    """As connectors have them: each version may break what was built on the one before."""
    return f"{version}.0.0"


def _version(text: str) -> int | None:
    """Of `3.0.0` or `3.0.0/<hash of schemas>`."""
    major = text.partition(".")[0]
    return int(major) if major.isdecimal() else None
