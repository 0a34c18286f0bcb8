"""Installed connectors: found by entry point, allowed by name, checked, and each one's faults kept to itself.

What ships with the platform, and what the operator trusts like it, is loaded into our own process. Everything else runs
in the sandbox, and none of its code is imported here.
"""

import traceback
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import PurePath
from typing import Any

import pluggy
import structlog
from fairlead_sdk import hookspecs
from fairlead_sdk.checks import faults_of
from fairlead_sdk.contract import Connector, Manifest, Tool
from fairlead_sdk.importing import Importer
from msgspec import Struct

from fairlead.adapters.sandbox.connector import SandboxedConnector
from fairlead.adapters.sandbox.packages import NotFound, Unpacked, unpacked_of
from fairlead.domain.connectors.catalogue import Listed
from fairlead.domain.tenants.choices import Offer, Uses, uses
from fairlead.domain.tools import ToolCatalogue, ToolFacts, connector_of, facts_of

_MAX_REASON = 1_000
KEPT_CATALOGUES = 200  # of tenants that use different versions
_OURS = "fairlead"  # the distribution that ships with the platform
_log = structlog.get_logger()

Settings = Mapping[str, Mapping[str, str]]
Contained = Mapping[str, SandboxedConnector | str]  # by name; instead of a connector, why there is none


class BrokenConnector(Struct, frozen=True):
    """A connector that was allowed and cannot be used. `reason` quotes nothing but its own declarations."""

    name: str
    reason: str
    version: str | None = None  # where it is known


class Unusable(Exception):
    """Why one plugin is left out. Never leaves this module."""


class Connectors:
    """What is installed: one version of each connector beside the program, and what of the catalogue is installed, in
    any number of versions, which changes while the program runs. Tenants use the former unless they say otherwise."""

    def __init__(
        self, connectors: Sequence[Connector], broken: Sequence[BrokenConnector] = (), settings: Settings | None = None
    ) -> None:
        """`settings` are by connector; each gets only the keys that its manifest names."""
        self._beside = tuple(connectors)
        self._broken_beside = tuple(broken)
        self._all_settings = settings or {}
        self._importers = {each.manifest.name: each for each in connectors if isinstance(each, Importer)}
        self._parts = {_key(each): ToolCatalogue(_facts(each.manifest)) for each in connectors}
        self.take({}, (), ())

    def take(
        self,
        listed: Mapping[str, Listed],
        published: Sequence[Connector],
        broken: Sequence[BrokenConnector],
    ) -> None:
        """The catalogue as it is now, what is usable of what is installed from it, and what is not."""
        self.listed = listed
        self.connectors = (*self._beside, *published)
        self.broken = (*self._broken_beside, *broken)
        self._by_version = {_key(each): each for each in self.connectors}
        self._contained = {each.manifest.name for each in self.connectors if isinstance(each, SandboxedConnector)}
        known = self._parts
        self._parts = {
            key: known.get(key) or ToolCatalogue(_facts(each.manifest)) for key, each in self._by_version.items()
        }
        self.offers = _offers(self._beside, published)
        self.versions = uses(self.offers, {})
        self._catalogues: OrderedDict[frozenset[tuple[str, str]], ToolCatalogue] = OrderedDict()
        self.catalogue = self.catalogue_of(self.versions)  # of a tenant that says nothing

    def catalogue_of(self, used: Uses) -> ToolCatalogue:
        """Of a tenant that uses these versions."""
        key = frozenset(used.items())
        found = self._catalogues.pop(key, None)
        if found is None:
            found = ToolCatalogue(())
            for each in used.items():
                found = found.and_those_of(self._parts[each]) if each in self._parts else found
        self._catalogues[key] = found
        while len(self._catalogues) > KEPT_CATALOGUES:
            self._catalogues.popitem(last=False)
        return found

    def importer(self, connector: str) -> Importer | None:
        """The connector itself, if it makes tools of descriptions."""
        return self._importers.get(connector)

    def tool(self, name: str, tenant_id: str, version: str | None = None) -> Tool[Any, Any] | None:
        """For calls of that tenant: in the sandbox no two tenants share a process."""
        connector = self._at(connector_of(name), version)
        if isinstance(connector, SandboxedConnector):
            return connector.tool(name, tenant_id)
        return connector.manifest.by_name.get(name) if connector else None

    def manifest_at(self, connector: str, version: str | None = None) -> Manifest | None:
        """Of a version, or of the one that is used where nothing is said."""
        found = self._at(connector, version)
        return found.manifest if found else None

    def runs_here(self, name: str) -> bool:
        """Whether the tool's connector runs in our own process, and not in the sandbox."""
        return connector_of(name) not in self._contained

    def settings_of(self, name: str, version: str | None = None) -> Mapping[str, str]:
        """Of the connector that the tool belongs to."""
        connector = self._at(connector_of(name), version)
        return _own(connector.manifest, self._all_settings) if connector else {}

    def _at(self, connector: str, version: str | None) -> Connector | None:
        chosen = self.versions.get(connector) if version is None else version
        return self._by_version.get((connector, chosen)) if chosen else None


def _key(connector: Connector) -> tuple[str, str]:
    return connector.manifest.name, connector.manifest.version


def _offers(beside: Sequence[Connector], published: Sequence[Connector]) -> tuple[Offer, ...]:
    versions: dict[str, list[str]] = {}
    for each in published:
        versions.setdefault(each.manifest.name, []).append(each.manifest.version)
    mine = [Offer(name=name, versions=(version,), by_default=True) for name, version in map(_key, beside)]
    theirs = [Offer(name=name, versions=tuple(found), by_default=False) for name, found in versions.items()]
    return tuple(sorted((*mine, *theirs), key=lambda offer: offer.name))


def load_connectors(
    allowed: Sequence[str],
    settings: Settings | None = None,
    installed: Iterable[EntryPoint] | None = None,
    *,
    trusted: Sequence[str] = (),
    contained: Contained | None = None,
) -> Connectors:
    """Load the plugins with these entry point names and no other. One that fails is listed as broken.

    `contained` are those that the sandbox has, by `third_party`.
    """
    found = _installed(installed)
    usable: list[Connector] = []
    broken: list[BrokenConnector] = []
    for name in dict.fromkeys(allowed):
        try:
            usable += _load(name, _of_name(name, found), trusted, contained or {})
        except Unusable as fault:
            broken.append(BrokenConnector(name, str(fault)[:_MAX_REASON]))
            _log.error("connector_broken", connector=name, reason=str(fault))
    return Connectors(usable, broken, settings)


def third_party(
    allowed: Sequence[str], installed: Iterable[EntryPoint] | None = None, *, trusted: Sequence[str] = ()
) -> tuple[list[Unpacked], dict[str, str]]:
    """What of the allowed the sandbox is to run, and why some of it cannot even be found."""
    found = _installed(installed)
    packages: list[Unpacked] = []
    lost: dict[str, str] = {}
    for name in dict.fromkeys(allowed):
        try:
            entry = _one(_of_name(name, found))
            if not _runs_here(entry, trusted):
                packages.append(unpacked_of(entry))
        except Unusable:
            continue  # `load_connectors` says so
        except NotFound as why:
            lost[name] = str(why)
    return packages, lost


def _installed(installed: Iterable[EntryPoint] | None) -> list[EntryPoint]:
    return list(entry_points(group=hookspecs.ENTRY_POINT_GROUP) if installed is None else installed)


def _of_name(name: str, found: Sequence[EntryPoint]) -> list[EntryPoint]:
    return [entry for entry in found if entry.name == name]


def _one(entries: Sequence[EntryPoint]) -> EntryPoint:
    if not entries:
        raise Unusable("not installed")
    if len({entry.value for entry in entries}) > 1:
        raise Unusable("more than one installed package offers this name")
    return entries[0]


def _runs_here(entry: EntryPoint, trusted: Sequence[str]) -> bool:
    return _is_ours(entry) or entry.name in trusted


def _load(
    name: str, entries: Sequence[EntryPoint], trusted: Sequence[str], contained: Contained
) -> Sequence[Connector]:
    entry = _one(entries)
    try:
        connectors = _registered(name, entry) if _runs_here(entry, trusted) else [_contained(name, contained)]
        manifests = [connector.manifest for connector in connectors]
        reasons = [reason for manifest in manifests for reason in _reasons(name, manifest, _is_ours(entry))]
    except Unusable:
        raise
    except pluggy.PluginValidationError:
        raise Unusable("it implements a hook that does not exist, or with other parameters") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a plugin may raise anything, and the others must load
        raise Unusable(f"loading it raised {type(error).__name__} {_place(error)}") from None
    if len(manifests) != 1:
        reasons.append(f"it registers {len(manifests)} connectors, not one")
    if reasons:
        raise Unusable("; ".join(reasons))
    return connectors


def _contained(name: str, contained: Contained) -> Connector:
    found = contained.get(name, "it runs in a sandbox only, and there is none")
    if isinstance(found, str):
        raise Unusable(found)
    return found


def _registered(name: str, entry: EntryPoint) -> Sequence[Connector]:
    """A manager of its own for each plugin: a broken hook stays its own affair."""
    manager = pluggy.PluginManager("fairlead")
    manager.add_hookspecs(hookspecs)
    manager.register(entry.load(), name=name)
    manager.check_pending()
    connectors: list[Connector] = []
    manager.hook.register_connectors(register=connectors.append)
    return connectors


def _is_ours(entry: EntryPoint) -> bool:
    return entry.dist is not None and entry.dist.name == _OURS


def _reasons(name: str, manifest: Manifest, shipped: bool) -> list[str]:
    """Why a manifest is refused. A plugin cannot speak in another's name."""
    if manifest.name != name:
        return [f"it registers {manifest.name!r}, which is not its name"]
    reasons = [str(fault) for fault in faults_of(manifest, shipped=shipped)]
    return reasons or _unusable_schemas(manifest)


def _unusable_schemas(manifest: Manifest) -> list[str]:
    try:
        ToolCatalogue(_facts(manifest))
    except ValueError as error:
        return [f"a schema cannot be used: {str(error).partition(chr(10))[0]}"]
    return []


def _place(error: BaseException) -> str:
    """Where, but not what it said: a message may quote a secret."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"in line {last.lineno} of {PurePath(last.filename).name}"


def _facts(manifest: Manifest) -> Iterable[ToolFacts]:
    return (facts_of(manifest, tool) for tool in manifest.tools)


def _own(manifest: Manifest, settings: Settings) -> dict[str, str]:
    given = settings.get(manifest.name, {})
    return {key: given[key] for key in manifest.settings if key in given}
